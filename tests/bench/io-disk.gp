# SPDX-License-Identifier: MIT
# A disk's requests: their time one by one, and how many a second.
#   gnuplot tests/bench/io-disk.gp     (after tests/bench/run)
out = 'build/bench/'
file = out . 'io-disk.dat'
array titles[3] = ['4 KiB at random, one at a time, median', \
    '4 KiB at random, 32 at once', '128 KiB in sequence']
array units[3] = ['microseconds', '1000 requests a second', 'GiB a second']
array first[3] = ['reads', 'reads', 'one at a time']
array second[3] = ['writes', 'writes', '4 at once']

do for [type in 'svg png'] {
    if (type eq 'svg') {
        set terminal svg size 1000,900 font 'sans-serif,14' \
            background rgb 'white'
    } else {
        set terminal pngcairo size 1000,900 font 'sans-serif,11'
    }
    set output out . 'io-disk.' . type
    set multiplot layout 3,1 title \
        'A disk in the page cache, against pread() and pwrite()' font ',16'
    set style data histograms
    set style histogram clustered gap 1
    set style fill solid 1.0 noborder
    set datafile missing '?'
    set yrange [0:*]
    set grid ytics lc rgb '#dddddd' lt 1
    set key outside right top Left reverse samplen 2
    do for [panel = 1:3] {
        set title titles[panel]
        set ylabel units[panel]
        plot file index panel - 1 using 2:xtic(1) title first[panel] \
                lc rgb '#1f77b4', \
            '' index panel - 1 using 3 title second[panel] lc rgb '#9ecae1'
    }
    unset multiplot
    unset output
}
