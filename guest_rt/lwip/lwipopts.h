/* SPDX-License-Identifier: MIT */
/* How lwIP is configured for guests; what is not here is lwIP's default. */
#ifndef GUEST_RT_LWIP_LWIPOPTS_H
#define GUEST_RT_LWIP_LWIPOPTS_H

/* ---- The environment: one lock, our timers, our memory ------------------- */

#define NO_SYS                                1
#define SYS_LIGHTWEIGHT_PROT                  0
#define LWIP_NETCONN                          0
#define LWIP_SOCKET                           0
#define LWIP_STATS                            0
#define LWIP_DONT_PROVIDE_BYTEORDER_FUNCTIONS 1
#define LWIP_TIMERS                           0 /* stack_time.c calls what is due */

#define MEM_ALIGNMENT   16
#define MEM_LIBC_MALLOC 1
#define MEMP_MEM_MALLOC 1
#define MEM_SIZE        0x100000 /* makes sizes 32 bits wide */
#define mem_clib_malloc inet_memory_alloc
#define mem_clib_calloc inet_memory_calloc
#define mem_clib_free   inet_memory_free

/* Nothing is ever allocated from a pool of fixed size. */
#define PBUF_POOL_SIZE                  1
#define LWIP_SUPPORT_CUSTOM_PBUF        1
#define LWIP_DISABLE_TCP_SANITY_CHECKS  1
#define LWIP_DISABLE_MEMP_SANITY_CHECKS 1

/* ---- Links --------------------------------------------------------------- */

#define ETH_PAD_SIZE                  0
#define ARP_TABLE_SIZE                64
#define ARP_QUEUEING                  1
#define ARP_QUEUE_LEN                 16
#define ETHARP_SUPPORT_STATIC_ENTRIES 1
#define ETHARP_TABLE_MATCH_NETIF      1
#define LWIP_NETIF_LOOPBACK           1
#define LWIP_HAVE_LOOPIF              1
#define LWIP_LOOPBACK_MAX_PBUFS       0
#define LWIP_NETIF_STATUS_CALLBACK    1
#define LWIP_NETIF_HOSTNAME           1
#define LWIP_CHECKSUM_CTRL_PER_NETIF  1
#define LWIP_CHKSUM                   inet_checksum

/* ---- IP ------------------------------------------------------------------ */

#define LWIP_IPV4                      1
#define LWIP_IPV6                      1
#define IP_DEFAULT_TTL                 64
#define IP_FORWARD                     0
#define IP_REASS_MAX_PBUFS             512
#define MEMP_NUM_REASSDATA             16
#define IP_SOF_BROADCAST               1
#define IP_SOF_BROADCAST_RECV          0
#define LWIP_ICMP                      1
#define LWIP_RAW                       0
#define LWIP_IGMP                      1
#define LWIP_MULTICAST_TX_OPTIONS      1
#define LWIP_IPV6_MLD                  1
#define LWIP_IPV6_NUM_ADDRESSES        4
#define LWIP_IPV6_REASS                1
#define IPV6_FRAG_COPYHEADER           1 /* pointers are wide */
#define LWIP_IPV6_AUTOCONFIG           1
#define LWIP_IPV6_DUP_DETECT_ATTEMPTS  1
#define LWIP_IPV6_SEND_ROUTER_SOLICIT  1
#define LWIP_ND6_QUEUEING              1
#define LWIP_ND6_NUM_NEIGHBORS         32
#define LWIP_ND6_NUM_DESTINATIONS      64
#define LWIP_ND6_RDNSS_MAX_DNS_SERVERS 0
#define LWIP_DHCP                      1
#define LWIP_DHCP_DOES_ACD_CHECK       0
#define DHCP_DOES_ARP_CHECK            0
#define LWIP_DHCP_GET_NTP_SRV          0
#define LWIP_DHCP_PROVIDE_DNS_SERVERS  2
#define LWIP_DNS                       0 /* musl resolves names */

/* ---- UDP and TCP --------------------------------------------------------- */

#define LWIP_UDP             1
#define LWIP_NETBUF_RECVINFO 1
#define SO_REUSE             1
#define SO_REUSE_RXTOALL     1

#define LWIP_TCP 1
/* A bound for all links: each connection's follows from its link's MTU. */
#define TCP_MSS                    32768
#define TCP_OVERSIZE               1460
#define LWIP_WND_SCALE             1
#define TCP_RCV_SCALE              3
#define TCP_WND                    (256 * 1024)
#define TCP_WND_UPDATE_THRESHOLD   (TCP_WND / 4)
#define TCP_SND_BUF                (512 * 1024)
#define TCP_SND_QUEUELEN           8192
#define TCP_SNDLOWAT               (TCP_SND_BUF / 3)
#define TCP_SNDQUEUELOWAT          (TCP_SND_QUEUELEN / 2)
#define TCP_QUEUE_OOSEQ            1
#define TCP_OOSEQ_MAX_BYTES        TCP_WND
#define LWIP_TCP_SACK_OUT          1
#define LWIP_TCP_KEEPALIVE         1
#define TCP_LISTEN_BACKLOG         1
#define TCP_DEFAULT_LISTEN_BACKLOG 0xff
#define TCP_MAXRTX                 12
#define TCP_SYNMAXRTX              12
#define TCP_MSL                    30000ul /* TIME_WAIT of 60 s, as Linux */
#define TCP_TMR_INTERVAL           50      /* ms; stack_time.c */
#define LWIP_TCP_PCB_NUM_EXT_ARGS  1

/* ---- Ours, called from lwIP's sources (stack.h) -------------------------- */

#define LWIP_HOOK_FILENAME            "guest_rt/lwip/hooks.h"
#define LWIP_HOOK_TCP_ISN             inet_tcp_isn
#define LWIP_HOOK_TCP_OUT_ADD_TCPOPTS inet_tcp_sending

#endif
