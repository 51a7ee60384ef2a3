-- As publish_stream.lua, for history in lists: entries carry offset and epoch themselves, newest first.
local list, meta, result = KEYS[1], KEYS[2], KEYS[3]
local body, last_kept, list_ttl, channel, meta_ttl = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
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
    redis.call('DEL', list)
elseif delta == '1' then
    before = redis.call('LINDEX', list, 0) or ''
    -- Without its position: other servers on this Redis read the publication alone.
    local _, head = string.find(before, '__', 3, true)
    before = string.sub(before, (head or 0) + 1)
end

local entry = '__p1:' .. offset .. ':' .. epoch .. '__' .. body
redis.call('LPUSH', list, entry)
redis.call('LTRIM', list, 0, last_kept)
redis.call('EXPIRE', list, list_ttl)

if channel ~= '' then
    if delta == '1' then
        local parts = {'__d1', offset, epoch, #before, before, #body, body}
        redis.call(publish, channel, table.concat(parts, ':'))
    else
        redis.call(publish, channel, entry)
    end
end

if result_ttl ~= '' then
    redis.call('HSET', result, 'e', epoch, 's', offset)
    redis.call('EXPIRE', result, result_ttl)
end
return {offset, epoch, 0, 0}
