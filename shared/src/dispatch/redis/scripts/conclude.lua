-- Says what became of proposals. ARGV[1] is how long a tenant is parked, ARGV[2] for how long proposals count, both in
-- milliseconds; ARGV[3] how many entries follow that are over: claimed, or gone from the queue. Then, for each run that
-- is still queued: the entry that was proposed, the entry it has now, its delay in milliseconds, and 1 when its tenant
-- may not run more.

local pause, hold = tonumber(ARGV[1]), tonumber(ARGV[2])
local last_over = 3 + tonumber(ARGV[3])
for i = 4, last_over do
    forget(ARGV[i])
end
for i = last_over + 1, #ARGV, 4 do
    local proposed, fresh, delay, full = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), ARGV[i + 3]
    local counts_until = redis.call('ZSCORE', base .. ':offered', proposed)
    forget(proposed)
    offer(fresh, delay)
    if full == '1' and counts_until then
        -- A run of this tenant may have ended since it was proposed: then there is room, and nobody would say so again.
        local tenant = string.sub(fresh, 22)
        local freed = redis.call('ZSCORE', base .. ':freed', tenant)
        if not freed or tonumber(freed) < counts_until - hold then
            park(tenant, pause)
        end
    end
end
