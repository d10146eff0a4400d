/* SPDX-License-Identifier: MIT */
/* /etc/hosts: the names that the options of the VM give. */
#ifndef GUEST_RT_HOSTS_H
#define GUEST_RT_HOSTS_H

/*
 * Writes /etc/hosts: this VM's names, and those of "connect=" (socket_vsock.h).
 * What the program or its archive has put there stays. Called again in a VM
 * that goes on from a snapshot, whose options may be others.
 */
void hosts_write(void);

#endif
