/* SPDX-License-Identifier: MIT */
/* mayfly doctor: can this host run guests, and what would make it better. */
#include "vmm/cli.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static int print_help(void)
{
    printf(
        "Usage: mayfly doctor\n\n"
        "Tells whether this host can run guests, on which KVM backend, what\n"
        "is slow or weak about it, and how to mend it. Exit status 0 if\n"
        "guests can run, 125 if not.\n\n"
        "  --help  show this\n");
    return CLI_OK;
}

/* One finding. Without `fix` it is good news. */
static void say(const char *mark, const char *what, const char *fix)
{
    printf("%-5s %s\n", mark, what);
    if (fix)
        printf("      -> %s\n", fix);
}

/* Reads the first line of a file under /sys or /proc. */
static bool read_line(const char *path, char *line, size_t bytes)
{
    FILE *file = fopen(path, "re");
    bool found = file && fgets(line, (int)bytes, file);

    if (file)
        fclose(file);
    if (found)
        line[strcspn(line, "\n")] = '\0';
    return found;
}

static bool check_kvm(const struct mayfly_host *host)
{
    char text[128];

    if (host->kvm_error == 0) {
        snprintf(text, sizeof(text), "/dev/kvm opens, API version %d",
                 host->kvm_api);
        say("ok", text, NULL);
        return true;
    }
    snprintf(text, sizeof(text), "/dev/kvm cannot be opened: %s",
             strerror(-host->kvm_error));
    if (host->kvm_error == -EACCES || host->kvm_error == -EPERM)
        say("FAIL", text,
            "join its group: usermod -aG kvm YOU, then log in again");
    else
        say("FAIL", text,
            "enable virtualization in the firmware, or nested virtualization "
            "or kvm_pvm on the cloud host; then: modprobe kvm_intel or "
            "kvm_amd");
    return false;
}

static void check_backend(const struct mayfly_host *host)
{
    if (host->backend == MAYFLY_BACKEND_HARDWARE)
        say("ok", "backend: hardware (VT-x or SVM)", NULL);
    else
        say("ok",
            "backend: software (kvm_pvm); guests compute at full speed, an "
            "exit costs about ten times as much as on hardware",
            "for faster exits use a host with nested virtualization");
}

static bool need(bool present, const char *what, const char *fix)
{
    say(present ? "ok" : "FAIL", what, present ? NULL : fix);
    return present;
}

static void check_speed(void)
{
    char line[128] = "";

    if (read_line("/sys/kernel/mm/transparent_hugepage/enabled", line,
                  sizeof(line)) &&
        strstr(line, "[never]"))
        say("slow", "transparent huge pages are off",
            "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled");
    if (strstr(line, "[always]"))
        say("slow",
            "transparent huge pages are always used: the first touch of "
            "a guest takes 2 MiB",
            "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled");
    if (read_line("/sys/devices/system/cpu/smt/active", line, sizeof(line)) &&
        line[0] == '1')
        say("note",
            "hyper-threads share cores: guests can disturb, and may "
            "observe, what runs beside them",
            NULL);
}

/* What --net takes; guests run without. */
static void check_networks(void)
{
    if (access("/dev/net/tun", R_OK | W_OK))
        say("note", "no access to /dev/net/tun: --net tap does not work here",
            NULL);
    else
        say("ok", "tap devices", NULL);
    if (cli_has_passt())
        say("ok", "passt, for networks without privileges", NULL);
    else
        say("note", "no passt: --net user and -p do not work here",
            "install passt (Debian has a package)");
}

/* Microarchitectural leaks are outside Mayfly's threat model: only told. */
static void check_leaks(void)
{
    static const char *const names[] = {
        "gather_data_sampling",
        "itlb_multihit",
        "l1tf",
        "mds",
        "meltdown",
        "mmio_stale_data",
        "retbleed",
        "spectre_v1",
        "spectre_v2",
        "srbds",
        "tsx_async_abort",
        "spec_rstack_overflow",
        "spec_store_bypass",
    };
    unsigned open = 0;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char path[96], line[160], text[288];

        snprintf(path, sizeof(path),
                 "/sys/devices/system/cpu/vulnerabilities/%s", names[i]);
        if (!read_line(path, line, sizeof(line)) ||
            strncmp(line, "Vulnerable", 10) != 0)
            continue;
        snprintf(text, sizeof(text), "processor: %s: %s", names[i], line);
        say("weak", text, NULL);
        open++;
    }
    if (open)
        printf("      -> update microcode and kernel before running guests "
               "that do not trust each other\n");
    else
        say("ok", "the kernel knows no unmitigated processor leak", NULL);
}

static void check_sandbox(const struct mayfly_host *host)
{
    if (!host->seccomp)
        say("weak",
            "no seccomp filters: guests can only run with "
            "--sandbox off",
            "use a kernel with CONFIG_SECCOMP_FILTER");
    else
        say("ok", "seccomp filters", NULL);
    if (host->landlock_abi)
        say("ok", "Landlock", NULL);
    else
        say("weak", "no Landlock: the sandbox has one layer less",
            "boot with landlock in the lsm= parameter");
}

int cmd_doctor(int argc, char **argv)
{
    static const struct option options[] = {
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    struct mayfly_host host;
    struct utsname kernel;
    int option;

    opterr = 0;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'h')
            return print_help();
        return cli_misuse("doctor", "unknown option '%s'", argv[optind - 1]);
    }
    if (optind != argc)
        return cli_misuse("doctor", "takes no arguments");

    mayfly_probe_host(&host);
    uname(&kernel);
    printf("mayfly %s on Linux %s\n", MAYFLY_VERSION, kernel.release);
    bool works = check_kvm(&host);
    if (works) {
        check_backend(&host);
        works &= need(host.sync_regs, "registers through shared memory",
                      "use Linux 4.17 or later");
        works &= need(host.immediate_exit, "immediate exits",
                      "use Linux 4.12 or later");
        works &= need(host.split_irqchip, "split interrupt controller",
                      "use Linux 4.5 or later");
    }
    works &= need(host.fsgsbase, "FSGSBASE instructions",
                  "use Linux 5.9 or later, without nofsgsbase, on a processor "
                  "from 2012 or later");
    check_sandbox(&host);
    check_networks();
    check_speed();
    check_leaks();
    printf("%s\n", works ? "This host can run guests."
                         : "This host cannot run guests.");
    return works ? CLI_OK : CLI_FAILED;
}
