-- SPDX-License-Identifier: MIT
-- Planets around a sun: floating point and fields of tables.
local bodies = {}
for i = 0, 4 do
    bodies[i + 1] = {x = i * 5.2, y = (i * 7) % 3 - 1, z = i * 0.1,
                     vx = 0.1 * i, vy = 2.0 / (i + 1), vz = 0.02 * i,
                     mass = i == 0 and 39.47 or 0.037 / i}
end
local function advance(dt)
    for i = 1, #bodies do
        local a = bodies[i]
        for j = i + 1, #bodies do
            local b = bodies[j]
            local dx, dy, dz = a.x - b.x, a.y - b.y, a.z - b.z
            local square = dx * dx + dy * dy + dz * dz + 0.01
            local mag = dt / (square * math.sqrt(square))
            a.vx, a.vy, a.vz = a.vx - dx * b.mass * mag,
                a.vy - dy * b.mass * mag, a.vz - dz * b.mass * mag
            b.vx, b.vy, b.vz = b.vx + dx * a.mass * mag,
                b.vy + dy * a.mass * mag, b.vz + dz * a.mass * mag
        end
    end
    for _, a in ipairs(bodies) do
        a.x, a.y, a.z = a.x + dt * a.vx, a.y + dt * a.vy, a.z + dt * a.vz
    end
end
for _ = 1, tonumber(arg and arg[1]) or 150000 do advance(0.001) end
print(string.format("%.9f %.9f", bodies[1].x, bodies[2].y))
