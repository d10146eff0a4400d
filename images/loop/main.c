/* SPDX-License-Identifier: MIT */
/* Computes for ever. */

int main(void)
{
    for (volatile unsigned count = 0;;)
        count++;
}
