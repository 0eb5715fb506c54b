-- Proposes up to ARGV[1] runs to the process ARGV[2] for ARGV[3] milliseconds.
-- ARGV[4] is the most that is moved from each of the waiting sets in one call: a call must not hold the server up.
-- ARGV[5] says how many tenants follow of which a run has ended; what comes after them are entries that were claimed.
--
-- Answers: whether everything queued was offered once; whether an offer was refused lately; milliseconds until
-- something is due, or -1; then the entries. With no entry, the process has been written down as idle.

local limit, process, hold, pace = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local offered, delayed, parked = base .. ':offered', base .. ':delayed', base .. ':parked'
local WEIGHTS = { [0] = 8, [1] = 3, [2] = 1 }
-- An idle process comes back much sooner than this; one that does not is gone.
local IDLE_MS = 2000

local last_freed = 5 + tonumber(ARGV[5])
for i = 6, last_freed do
    redis.call('ZADD', base .. ':freed', now, ARGV[i])
    unpark(ARGV[i])
end
for i = last_freed + 1, #ARGV do
    forget(ARGV[i])
end
redis.call('ZREM', base .. ':idle', process)

local complete = redis.call('EXISTS', base .. ':generation')
local lost = redis.call('EXISTS', base .. ':lost')

local picked = {}
if complete == 1 then
    for _, waiting in ipairs({ delayed, offered }) do
        for _, entry in ipairs(redis.call('ZRANGEBYSCORE', waiting, '-inf', now, 'LIMIT', 0, pace)) do
            redis.call('ZREM', waiting, entry)
            enqueue(entry)
        end
    end
    for _, tenant in ipairs(redis.call('ZRANGEBYSCORE', parked, '-inf', now, 'LIMIT', 0, pace)) do
        unpark(tenant)
    end

    -- Smooth weighted round-robin, as in the `Rotation` of the ledger's dispatch.
    local stored = redis.call('HMGET', base .. ':credit', 0, 1, 2)
    local credit, busy = {}, {}
    for class = 0, 2 do
        credit[class] = tonumber(stored[class + 1] or 0)
        busy[class] = redis.call('EXISTS', base .. ':ring:' .. class) == 1
    end

    -- The oldest run of the tenant whose turn it is.
    local function take(class)
        while true do
            local turn = redis.call('ZPOPMIN', base .. ':ring:' .. class)
            local tenant = turn[1]
            if not tenant then
                return nil
            end
            local queue = queue_of(class, tenant)
            local oldest = redis.call('ZPOPMIN', queue)
            if oldest[1] then
                if redis.call('EXISTS', queue) == 1 then
                    join(class, tenant)
                end
                return oldest[1] .. class .. tenant
            end
        end
    end

    local places = {}
    while #picked < limit do
        local total, best = 0, nil
        for class = 0, 2 do
            if busy[class] then
                total = total + WEIGHTS[class]
                if not best or credit[class] + WEIGHTS[class] > credit[best] + WEIGHTS[best] then
                    best = class
                end
            else
                credit[class] = 0
            end
        end
        if not best then
            break
        end
        local entry = take(best)
        if entry then
            for class = 0, 2 do
                if busy[class] then
                    credit[class] = credit[class] + WEIGHTS[class]
                end
            end
            credit[best] = credit[best] - total
            -- Of one run, the later epoch comes later, and is the better hint.
            local run = string.sub(entry, 1, 16)
            local place = places[run]
            if place then
                redis.call('ZREM', offered, picked[place])
            else
                place = #picked + 1
                places[run] = place
            end
            picked[place] = entry
            redis.call('ZADD', offered, now + hold, entry)
        else
            busy[best] = false
        end
    end
    if #picked > 0 then
        redis.call('HSET', base .. ':credit', 0, credit[0], 1, credit[1], 2, credit[2])
        -- The next one takes what is left behind, and wakes the next.
        for class = 0, 2 do
            if redis.call('EXISTS', base .. ':ring:' .. class) == 1 then
                wake()
                break
            end
        end
    end
end

local due = -1
if #picked == 0 then
    -- There is time to tidy up. Marks older than any proposal that counts mean nothing.
    redis.call('ZREMRANGEBYSCORE', base .. ':freed', '-inf', now - 2 * hold)
    redis.call('ZREMRANGEBYSCORE', base .. ':idle', '-inf', now - IDLE_MS)
    redis.call('ZADD', base .. ':idle', now, process)
    for _, waiting in ipairs({ delayed, offered, parked }) do
        local first = redis.call('ZRANGE', waiting, 0, 0, 'WITHSCORES')
        if first[2] then
            local left = math.max(0, first[2] - now)
            due = due < 0 and left or math.min(due, left)
        end
    end
end

local answer = { complete, lost, due }
for _, entry in ipairs(picked) do
    answer[#answer + 1] = entry
end
return answer
