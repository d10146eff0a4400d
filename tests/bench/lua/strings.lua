-- SPDX-License-Identifier: MIT
-- Strings: patterns, concatenation, sorting, a hash of words.
local words, seed = {}, 42
for i = 1, 60000 do
    seed = (seed * 1103515245 + 12345) % 2147483648
    words[i] = ("w%d"):format(seed % 5000)
end
local text, counts = table.concat(words, " "), {}
for _ = 1, 40 do
    for word in text:gmatch("%w+") do counts[word] = (counts[word] or 0) + 1 end
end
local keys = {}
for word in pairs(counts) do keys[#keys + 1] = word end
table.sort(keys, function(a, b)
    if counts[a] ~= counts[b] then return counts[a] > counts[b] end
    return a < b
end)
local length = 0
for i = 1, 10 do length = length + #text:gsub("w" .. i, "<%0>") end
print(#keys, keys[1], counts[keys[1]], length)
