-- Gives a publication the next offset of its stream, saves it and tells subscribers.
-- Answers offset, epoch, whether the idempotency key was known, whether the version was not above the stored one.
local stream, meta, result = KEYS[1], KEYS[2], KEYS[3]
local body, size, stream_ttl, channel, meta_ttl = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local fresh_epoch, publish, result_ttl, delta = ARGV[6], ARGV[7], ARGV[8], ARGV[9]
local version, version_epoch = ARGV[10], ARGV[11]

if result_ttl ~= '' then
    local known = redis.call('HMGET', result, 'e', 's')
    if known[1] then
        return {known[2] or '0', known[1], 1, 0}
    end
end

local state = redis.call('HMGET', meta, 'e', 's', 'v', 've')
local epoch = state[1]
if not epoch then
    epoch = fresh_epoch
    redis.call('HSET', meta, 'e', epoch)
end

if version ~= '0' then
    local stored = state[3]
    if stored and (version_epoch == '' or version_epoch == state[4]) then
        -- Digits without leading zeros compare as numbers of any size.
        if #version < #stored or (#version == #stored and version <= stored) then
            return {state[2] or '0', epoch, 0, 1}
        end
    end
    redis.call('HSET', meta, 'v', version, 've', version_epoch)
end

local offset = string.format('%.0f', redis.call('HINCRBY', meta, 's', 1))
if meta_ttl ~= '0' then
    redis.call('EXPIRE', meta, meta_ttl)
end

local before = ''
if offset == '1' then
    -- A new life of the stream; what an earlier one left over is not part of it.
    redis.call('DEL', stream)
elseif delta == '1' then
    local newest = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
    local fields = newest and newest[2] or {}
    for at = 1, #fields, 2 do
        if fields[at] == 'd' then
            before = fields[at + 1]
        end
    end
end

redis.call('XADD', stream, 'MAXLEN', size, offset, 'd', body)
redis.call('EXPIRE', stream, stream_ttl)

if channel ~= '' then
    local place = offset .. ':' .. epoch
    if delta == '1' then
        local parts = {'__d1', place, #before, before, #body, body}
        redis.call(publish, channel, table.concat(parts, ':'))
    else
        redis.call(publish, channel, '__p1:' .. place .. '__' .. body)
    end
end

if result_ttl ~= '' then
    redis.call('HSET', result, 'e', epoch, 's', offset)
    redis.call('EXPIRE', result, result_ttl)
end
return {offset, epoch, 0, 0}
