-- SPDX-License-Identifier: MIT
-- usage: nbody.lua PERCENT. Four bodies around a heavy one, by tables and floating point.
local bodies = { { x = 0, y = 0, z = 0, u = 0, v = 0, w = 0, mass = 40 } }
for i = 1, 4 do
    bodies[i + 1] = { x = 5 * i, y = i, z = -i / 8, u = 0, v = math.sqrt(8 / i), w = 0.1, mass = 0.01 * i }
end

local function advance(dt)
    for i, a in ipairs(bodies) do
        for j = i + 1, #bodies do
            local b = bodies[j]
            local dx, dy, dz = a.x - b.x, a.y - b.y, a.z - b.z
            local square = dx * dx + dy * dy + dz * dz
            local force = dt / (square * math.sqrt(square))
            a.u, a.v, a.w = a.u - dx * b.mass * force, a.v - dy * b.mass * force, a.w - dz * b.mass * force
            b.u, b.v, b.w = b.u + dx * a.mass * force, b.v + dy * a.mass * force, b.w + dz * a.mass * force
        end
    end
    for _, a in ipairs(bodies) do
        a.x, a.y, a.z = a.x + dt * a.u, a.y + dt * a.v, a.z + dt * a.w
    end
end

for _ = 1, math.max(1, 120 * tonumber(arg[1])) do
    advance(0.001)
end
-- Few digits: x87 keeps more of them between operations than SSE2 does.
print(string.format("%.4f %.4f", bodies[2].x, bodies[2].y))
