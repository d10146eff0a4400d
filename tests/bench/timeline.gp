# SPDX-License-Identifier: MIT
# Where the time of one `mayfly run hello.elf` goes, stage after stage.
#   gnuplot tests/bench/timeline.gp     (after tests/bench/run)
out = 'build/bench/'
file = out . 'timeline.dat'
stats file using ($2 + $3) name 'END' nooutput
stats file using 3 name 'STAGE' nooutput

array colors[12] = [ \
    0x9ecae1, 0x6baed6, 0x3182bd, 0x08519c, 0x74c476, \
    0x31a354, 0xfdd0a2, 0xfd8d3c, 0xe6550d, 0xd62728, 0xbdbdbd, 0x969696]

do for [type in 'svg png'] {
    if (type eq 'svg') {
        set terminal svg size 1000,460 font 'sans-serif,14' \
            background rgb 'white'
    } else {
        set terminal pngcairo size 1000,460 font 'sans-serif,11'
    }
    set output out . 'timeline.' . type
    set title sprintf( \
        'One run of hello, spawn to exit: %.2f ms (medians of stages)', \
        END_max / 1000) font ',16'
    set xlabel 'microseconds since spawn'
    set xrange [0:END_max * 1.12]
    set yrange [STAGE_records:-1.6]
    unset ytics
    unset key
    set lmargin 16
    set grid x lc rgb '#dddddd' lt 1
    set style fill solid 1.0 noborder
    # Above: the whole as one stacked bar. Below: a line for each stage.
    plot file using 2:(-0.9):2:($2 + $3):(-1.25):(-0.55):(colors[$0 + 1]) \
            with boxxyerror lc rgb variable, \
        '' using 2:0:2:($2 + $3):($0 - 0.35):($0 + 0.35): \
            (colors[$0 + 1]) \
            with boxxyerror lc rgb variable, \
        '' using (0):0:1 with labels right offset character -1,0, \
        '' using ($2 + $3):0:(sprintf('%.0f us', $3)) \
            with labels left offset character 1,0
    unset output
}
