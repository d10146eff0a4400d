-- SPDX-License-Identifier: MIT
-- Permutations and reversals of prefixes: integer arithmetic and tables.
local function fannkuch(n)
    local p, q, s = {}, {}, {}
    local sign, flips, sum = 1, 0, 0
    for i = 1, n do p[i], q[i], s[i] = i, i, i end
    while true do
        local first = p[1]
        if first ~= 1 then
            for i = 2, n do q[i] = p[i] end
            local count = 1
            while true do
                local next = q[first]
                if next == 1 then
                    sum = sum + sign * count
                    if count > flips then flips = count end
                    break
                end
                q[first] = first
                if first >= 4 then
                    local i, j = 2, first - 1
                    repeat
                        q[i], q[j] = q[j], q[i]
                        i, j = i + 1, j - 1
                    until i >= j
                end
                first, count = next, count + 1
            end
        end
        if sign == 1 then
            p[1], p[2], sign = p[2], p[1], -1
        else
            p[2], p[3], sign = p[3], p[2], 1
            for i = 3, n do
                if s[i] ~= 1 then
                    s[i] = s[i] - 1
                    break
                end
                if i == n then return sum, flips end
                s[i] = i
                local t = p[1]
                for j = 1, i do p[j] = p[j + 1] end
                p[i + 1] = t
            end
        end
    end
end
print(fannkuch(tonumber(arg and arg[1]) or 9))
