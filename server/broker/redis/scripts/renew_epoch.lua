-- Gives a stream another epoch, unless somebody else did. Offsets and publications stay.
local meta, old, fresh = KEYS[1], ARGV[1], ARGV[2]

if redis.call('HGET', meta, 'e') ~= old then
    return 0
end
redis.call('HSET', meta, 'e', fresh)
return 1
