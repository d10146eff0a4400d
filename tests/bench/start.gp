# SPDX-License-Identifier: MIT
# Start latency: how many of a program's starts took at most so long.
#   gnuplot tests/bench/start.gp     (after tests/bench/run)
out = 'build/bench/'
files = out . 'first-output.dat ' . out . 'exit.dat'
titles = '"from spawn to the first byte of output" "from spawn to exit"'

# In the order of the blocks: floor, hello, boot, musl, glibc, QEMU twice.
set style line 1 lc rgb '#555555' lw 2 dt 2
set style line 2 lc rgb '#d62728' lw 3
set style line 3 lc rgb '#ff9896' lw 2
set style line 4 lc rgb '#1f77b4' lw 2
set style line 5 lc rgb '#17becf' lw 2
set style line 6 lc rgb '#2ca02c' lw 2
set style line 7 lc rgb '#98df8a' lw 2

do for [type in 'svg png'] {
    if (type eq 'svg') {
        set terminal svg size 1000,760 font 'sans-serif,14' \
            background rgb 'white'
    } else {
        set terminal pngcairo size 1000,760 font 'sans-serif,11'
    }
    set output out . 'start.' . type
    set multiplot layout 2,1 title \
        'Start latency, another VM alive' font ',16'
    set logscale x
    set xrange [0.1:500]
    set xtics ('0.1' 0.1, '0.2' 0.2, '0.5' 0.5, '1' 1, '2' 2, '5' 5, \
        '10' 10, '20' 20, '50' 50, '100' 100, '200' 200, '500' 500)
    set yrange [0:100]
    set ytics 25
    set format y '%.0f %%'
    set grid lc rgb '#dddddd' lt 1
    set key outside right top Left reverse samplen 2
    set xlabel 'milliseconds (log scale)'
    set ylabel 'share of starts'
    do for [panel = 1:2] {
        file = word(files, panel)
        set title word(titles, panel)
        plot for [i = 0:6] file index i \
            using ($1 / 1000):2 with lines title columnheader(1) \
            linestyle i + 1
    }
    unset multiplot
    unset output
}
