# SPDX-License-Identifier: MIT
# Requests, each served by a fresh VM, among the ways to such a VM.
#   gnuplot tests/bench/serve.gp     (after tests/bench/run)
out = 'build/bench/'
requests = out . 'serve.dat'
ways = out . 'snapshots.dat'
have_ways = system('test -s ' . ways . ' && echo 1') eq '1'

# In the order of the blocks: two of requests, then those of snapshots.gp.
set style line 1 lc rgb '#1f77b4' lw 3
set style line 2 lc rgb '#d62728' lw 4
set style line 3 lc rgb '#e377c2' lw 2
set style line 4 lc rgb '#17becf' lw 2
set style line 5 lc rgb '#ff7f0e' lw 2
set style line 6 lc rgb '#555555' lw 2 dt 2
set style line 7 lc rgb '#9467bd' lw 2
set style line 8 lc rgb '#2ca02c' lw 2

do for [type in 'svg png'] {
    if (type eq 'svg') {
        set terminal svg size 1000,520 font 'sans-serif,14' \
            background rgb 'white'
    } else {
        set terminal pngcairo size 1000,520 font 'sans-serif,11'
    }
    set output out . 'serve.' . type
    set title 'A fresh VM for each request, and the ways to one' font ',16'
    set logscale x
    set xrange [10:5000]
    set xtics (10, 20, 50, 100, 200, 500, '1000' 1000, '2000' 2000, \
        '5000' 5000)
    set yrange [0:100]
    set ytics 25
    set format y '%.0f %%'
    set grid lc rgb '#dddddd' lt 1
    set key outside right top Left reverse samplen 2
    set xlabel 'microseconds (log scale)'
    set ylabel 'share'
    if (have_ways) {
        plot for [i = 0:1] requests index i using 1:2 with lines \
                title columnheader(1) linestyle i + 1, \
            for [i = 0:5] ways index i using 1:2 with lines \
                title columnheader(1) linestyle i + 3
    } else {
        plot for [i = 0:1] requests index i using 1:2 with lines \
            title columnheader(1) linestyle i + 1
    }
    unset output
}
