/* SPDX-License-Identifier: MIT */
/* Accesses to device registers, which a test on the host replaces. */
#include "mmio.h"

uint32_t mmio_get(volatile const uint8_t *at, size_t bytes)
{
    switch (bytes) {
    case 1:
        return *at;
    case 2:
        return *(volatile const uint16_t *)at;
    default:
        return *(volatile const uint32_t *)at;
    }
}

void mmio_put(volatile uint8_t *at, uint32_t value)
{
    *(volatile uint32_t *)at = value;
}
