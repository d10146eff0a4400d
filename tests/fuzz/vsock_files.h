/* SPDX-License-Identifier: MIT */
/* The host's files behind the socket device: what fuzz_vsock.c makes of them.
 */
#ifndef TESTS_FUZZ_VSOCK_FILES_H
#define TESTS_FUZZ_VSOCK_FILES_H

static int hooked_os_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    return (int)count + (fds == NULL) + timeout_ms;
}

static int hooked_os_ioctl(int fd, unsigned long request, uintptr_t argument)
{
    return -(int)(request + argument + (uintptr_t)fd) & -EINVAL;
}

static int hooked_os_mmap(size_t bytes, int protection, int flags, int fd,
                          void **address)
{
    bug_on(bytes != sizeof(buffers) || !protection || !flags || fd != -1);
    *address = buffers;
    return 0;
}

static int hooked_os_munmap(void *address, size_t bytes)
{
    bug_on(address != buffers || bytes != sizeof(buffers));
    return 0;
}

static int hooked_os_epoll_create(void)
{
    return EPOLL;
}

static int open_file(void)
{
    bug_on(file_count == FDS);
    files[file_count] = (struct file){.open = true};
    open_count++;
    return FIRST_FD + (int)file_count++;
}

static struct file *file_of(int fd)
{
    bug_on(fd < FIRST_FD || fd >= FIRST_FD + (int)file_count);
    bug_on(!files[fd - FIRST_FD].open);
    return &files[fd - FIRST_FD];
}

static int hooked_os_epoll_control(int epoll_fd, int operation, int fd,
                                   struct epoll_event *event)
{
    bug_on(epoll_fd != EPOLL);
    if (fd == LISTENER || fd == BROKER)
        return 0;
    struct file *file = file_of(fd);
    if (operation == EPOLL_CTL_ADD) {
        bug_on(file->watched);
        if (script_below(script, 32) == 1)
            return -ENOSPC;
        file->watched = true;
        file->data = event->data.u64;
    } else {
        bug_on(!file->watched);
        file->watched = false;
    }
    return 0;
}

static int hooked_os_epoll_look(int epoll_fd, struct epoll_event *to, int count)
{
    int there = (int)due_count;

    bug_on(epoll_fd != EPOLL || count != EVENTS_AT_ONCE);
    memcpy(to, due, due_count * sizeof(due[0]));
    due_count = 0;
    return there;
}

static int hooked_os_accept(int fd)
{
    bug_on(fd != LISTENER);
    switch (script_below(script, 16)) {
    case 1:
        return -EMFILE;
    case 2:
        return -ECONNABORTED;
    default:
        break;
    }
    if (!connection || file_count > FDS - 8)
        return -EAGAIN;
    connection = script_below(script, 4) == 1;
    return open_file();
}

static struct vsock_stream *stream_of(int fd)
{
    for (unsigned i = 0; i < vsock.fresh; i++)
        if (vsock.streams[i].state != VSOCK_FREE && vsock.streams[i].fd == fd)
            return &vsock.streams[i];
    bug_on(true);
    return NULL;
}

static int hooked_os_shutdown(int fd, int how)
{
    (void)file_of(fd);
    bug_on(how == SHUT_RDWR && !stream_of(fd)->given);
    return 0;
}

static int hooked_os_set_abort(int fd)
{
    (void)file_of(fd);
    return 0;
}

static int hooked_os_close(int fd)
{
    if (fd == EPOLL)
        return 0;
    bug_on(file_of(fd)->watched);
    file_of(fd)->open = false;
    open_count--;
    return 0;
}

/* How a call that could move `bytes` bytes ends. */
static ssize_t answer_host(uint64_t bytes)
{
    change_memory();
    switch (script_below(script, 32)) {
    case 1:
    case 2:
    case 3:
    case 4:
        return -EAGAIN;
    case 5:
        return script_below(script, 2) ? -EPIPE : -ECONNRESET;
    case 6:
    case 7:
    case 8:
    case 9:
        return (ssize_t)(script_number(script, 2) % (bytes + 1));
    case 10:
        return 0;
    default:
        return (ssize_t)bytes;
    }
}

static ssize_t hooked_os_readv(int fd, const struct iovec *iov, int count)
{
    const struct vsock_stream *stream = stream_of(fd);
    uint64_t room = 0;
    ssize_t bytes;

    (void)file_of(fd);
    bug_on(count < 1);
    bug_on(stream->state != VSOCK_OPEN &&
           (stream->state != VSOCK_REQUESTED || stream->to_send));
    for (int i = 0; i < count; i++) {
        bug_on(!lies_in(&iov[i], ram, RAM_BYTES) || iov[i].iov_len == 0);
        room += iov[i].iov_len;
    }
    bug_on(room == 0 || room > vsock_credit(stream));
    bytes = answer_host(room);
    for (int i = 0; i < count && bytes > 0; i++)
        memset(iov[i].iov_base, i, iov[i].iov_len);
    return bytes;
}

static ssize_t ask(const struct iovec *iov)
{
    bug_on(iov->iov_len != sizeof(question));
    memcpy(&question, iov->iov_base, sizeof(question));
    bug_on(question.entry >= vsock.connect_count);
    if (script_below(script, 8) == 1)
        return -EAGAIN;
    answer_due = true;
    return sizeof(question);
}

static ssize_t hooked_os_writev(int fd, const struct iovec *iov, int count)
{
    const struct vsock_stream *stream;
    uint64_t bytes = 0;

    if (fd == BROKER)
        return ask(iov);
    stream = stream_of(fd);
    (void)file_of(fd);
    bug_on(stream->state != VSOCK_OPEN && stream->state != VSOCK_LINGERING);
    for (int i = 0; i < count; i++) {
        bug_on(
            !lies_in(&iov[i], ram, RAM_BYTES) &&
            !lies_in(&iov[i], buffer_of(&vsock, stream), VSOCK_BUFFER_BYTES));
        bytes += iov[i].iov_len;
    }
    bug_on(bytes == 0 || bytes > VSOCK_BUFFER_BYTES);
    return answer_host(bytes);
}

/* Only where something follows, which makes TCP send it. */
static ssize_t hooked_os_send_more(int fd, const void *from, size_t bytes)
{
    const struct iovec iov = {(void *)from, bytes};

    bug_on(!vsock_goes_on(&vsock, stream_of(fd)));
    return hooked_os_writev(fd, &iov, 1);
}

static ssize_t hooked_os_recvmsg(int fd, struct msghdr *message, int flags)
{
    struct vsock_connected answer = {.ticket = question.ticket};
    struct cmsghdr *part = CMSG_FIRSTHDR(message);
    int passed = -1;

    bug_on(fd != BROKER || flags != MSG_CMSG_CLOEXEC);
    if (!answer_due)
        return -EAGAIN;
    answer_due = false;
    message->msg_controllen = 0;
    switch (script_below(script, 8)) {
    case 1:
        answer.error = -ECONNREFUSED;
        break;
    case 2:
        answer.ticket = (uint32_t)script_number(script, 4);
        break;
    case 3:
        return script_below(script, 8) ? -EINTR : 0;
    default:
        break;
    }
    if (file_count < FDS - 8 && script_below(script, 4)) {
        passed = open_file();
        message->msg_controllen = CMSG_SPACE(sizeof(int));
        *part = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(part), &passed, sizeof(passed));
    }
    memcpy(message->msg_iov[0].iov_base, &answer, sizeof(answer));
    return sizeof(answer);
}

#endif
