# SPDX-License-Identifier: MIT
# Round trips over a tap: shortest, median of a round, one in a hundred.
#   gnuplot tests/bench/io-ping.gp     (after tests/bench/run)
out = 'build/bench/'
file = out . 'io-ping.dat'
array titles[2] = ['back to back', 'one in 10 ms']

do for [type in 'svg png'] {
    if (type eq 'svg') {
        set terminal svg size 1000,760 font 'sans-serif,14' \
            background rgb 'white'
    } else {
        set terminal pngcairo size 1000,760 font 'sans-serif,11'
    }
    set output out . 'io-ping.' . type
    set multiplot layout 2,1 title \
        'Ping on a tap, against a host process' font ',16'
    set logscale y
    set xrange [-0.6:*]
    set offsets 0, 0.6, 0, 0
    set ylabel 'microseconds (log scale)'
    set boxwidth 0.4
    set style fill solid 1.0 border rgb '#08519c'
    set grid ytics mytics lc rgb '#dddddd' lt 1
    set key outside right top Left reverse samplen 2
    do for [panel = 1:2] {
        set title titles[panel]
        # The box: the lowest and the highest median of a round.
        plot file index panel - 1 using 0:3:2:6:5:xtic(1) \
                with candlesticks whiskerbars 0.5 lc rgb '#9ecae1' \
                title 'min, medians, p99', \
            '' index panel - 1 using 0:4:4:4:4 with candlesticks \
                lc rgb '#d62728' lw 2 notitle, \
            '' index panel - 1 using 0:4:(sprintf('%.0f', $4)) \
                with labels left offset 3,0 notitle
    }
    unset multiplot
    unset output
}
