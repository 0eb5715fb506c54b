-- What every script shares: where things are, and how a hint gets to its place. Put in front of each of them.
--
-- KEYS[1] is the beginning of every key and channel. No key has that name; it carries the hash tag, so that a cluster
-- finds the one slot in which all of them are.
--
-- An entry is a hint: 16 bytes of run, 4 of epoch (most significant first), 1 of class, then the tenant. Inside a queue,
-- class and tenant are known, and the first 20 bytes are left: in their order, a tenant's oldest run comes first.
--
--   queue:<class>:<tenant>  sorted set, all scores 0: runs that may be claimed now
--   ring:<class>            sorted set: tenants that have such runs, by turn. One without runs is dropped at its turn
--   delayed, offered        sorted sets of entries: when each is due; until when a proposal of it counts
--   parked                  sorted set of tenants that may not run more: until when at the latest
--   freed                   sorted set of tenants: when a run of theirs last ended
--   credit                  hash: the weighted round-robin between classes
--   idle                    sorted set of processes that found nothing: since when
--   generation              there only after everything queued was offered once
--   rebuilding              who is doing that
--   lost                    there for a while after an offer was refused

local base = KEYS[1]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- Ends of the rings, as far as this call has looked: a turn is given by counting up from there.
local tails = {}

local function queue_of(class, tenant)
    return base .. ':queue:' .. class .. ':' .. tenant
end

-- Gives a tenant the last turn of a class.
local function join(class, tenant)
    local ring = base .. ':ring:' .. class
    local tail = tails[class]
    if not tail then
        local last = redis.call('ZRANGE', ring, -1, -1, 'WITHSCORES')
        tail = tonumber(last[2] or 0)
    end
    tails[class] = tail + 1
    redis.call('ZADD', ring, tail + 1, tenant)
end

-- Puts an entry into its queue; 1 when it is new there. That its tenant has a turn is seen to in any case.
local function enqueue(entry)
    local class, tenant = string.sub(entry, 21, 21), string.sub(entry, 22)
    local added = redis.call('ZADD', queue_of(class, tenant), 0, string.sub(entry, 1, 20))
    if not redis.call('ZSCORE', base .. ':ring:' .. class, tenant)
        and not redis.call('ZSCORE', base .. ':parked', tenant) then
        join(class, tenant)
    end
    return added
end

-- Offers an entry, due in so many milliseconds; 1 when it may be claimed now and could not be before.
local function offer(entry, delay)
    if redis.call('ZSCORE', base .. ':offered', entry) or redis.call('ZSCORE', base .. ':delayed', entry) then
        return 0
    end
    local queue = queue_of(string.sub(entry, 21, 21), string.sub(entry, 22))
    if string.sub(entry, 17, 20) ~= '\0\0\0\0' then
        -- Whatever is known of earlier epochs of the run is out of date.
        local run = string.sub(entry, 1, 16)
        redis.call('ZREMRANGEBYLEX', queue, '[' .. run, '(' .. string.sub(entry, 1, 20))
    end
    if delay > 0 then
        if not redis.call('ZSCORE', queue, string.sub(entry, 1, 20)) then
            redis.call('ZADD', base .. ':delayed', now + delay, entry)
        end
        return 0
    end
    return enqueue(entry)
end

-- Forgets an entry, wherever it is.
local function forget(entry)
    if redis.call('ZREM', base .. ':offered', entry) == 0
        and redis.call('ZREM', base .. ':delayed', entry) == 0 then
        redis.call('ZREM', queue_of(string.sub(entry, 21, 21), string.sub(entry, 22)), string.sub(entry, 1, 20))
    end
end

-- Takes a tenant out of every ring.
local function park(tenant, ms)
    redis.call('ZADD', base .. ':parked', now + ms, tenant)
    for class = 0, 2 do
        redis.call('ZREM', base .. ':ring:' .. class, tenant)
    end
end

-- Gives a parked tenant its turns back.
local function unpark(tenant)
    if redis.call('ZREM', base .. ':parked', tenant) == 1 then
        for class = 0, 2 do
            if redis.call('EXISTS', queue_of(class, tenant)) == 1 then
                join(class, tenant)
            end
        end
    end
end

-- Wakes one idle process: the one that has waited longest and still listens.
local function wake()
    while true do
        local idle = redis.call('ZPOPMIN', base .. ':idle')
        if not idle[1] then
            return
        end
        if redis.call('SPUBLISH', base .. ':wake:' .. idle[1], '') > 0 then
            return
        end
    end
end

