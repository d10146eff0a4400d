-- SPDX-License-Identifier: MIT
-- Many small tables, and the garbage collector.
local function build(depth)
    if depth == 0 then return {} end
    return {build(depth - 1), build(depth - 1)}
end
local function count(tree)
    return tree[1] and 1 + count(tree[1]) + count(tree[2]) or 1
end
local depth = tonumber(arg and arg[1]) or 13
local keep = build(depth)
for d = 4, depth, 4 do
    local trees, sum = 1 << (depth - d + 4), 0
    for _ = 1, trees do sum = sum + count(build(d)) end
    print(trees, d, sum)
end
print(count(keep))
