# SPDX-License-Identifier: MIT
# How long each way to a VM takes: what share was done in at most so long.
#   gnuplot tests/bench/snapshots.gp     (after tests/bench/run)
out = 'build/bench/'
file = out . 'snapshots.dat'

# In the order of the blocks.
set style line 1 lc rgb '#d62728' lw 3
set style line 2 lc rgb '#1f77b4' lw 2
set style line 3 lc rgb '#ff7f0e' lw 3
set style line 4 lc rgb '#555555' lw 2 dt 2
set style line 5 lc rgb '#9467bd' lw 3
set style line 6 lc rgb '#2ca02c' lw 2

do for [type in 'svg png'] {
    if (type eq 'svg') {
        set terminal svg size 1000,480 font 'sans-serif,14' \
            background rgb 'white'
    } else {
        set terminal pngcairo size 1000,480 font 'sans-serif,11'
    }
    set output out . 'snapshots.' . type
    set title 'Ways to a VM that answers' font ',16'
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
    plot for [i = 0:5] file index i using 1:2 with lines \
        title columnheader(1) linestyle i + 1
    unset output
}
