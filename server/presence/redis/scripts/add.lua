-- Adds or renews a client, and its user when users are counted.
local expire, data, user_expire, user_clients = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local ttl, expires_at, client, info, user = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local count_users, field_ttl = ARGV[6] == '1', ARGV[7] == '1'

local is_new = redis.call('HSET', data, client, info) == 1
redis.call('EXPIRE', data, ttl)
if field_ttl then
    redis.call('HEXPIRE', data, ttl, 'FIELDS', 1, client)
else
    redis.call('ZADD', expire, expires_at, client)
    redis.call('EXPIRE', expire, ttl)
end

if count_users then
    if is_new then
        redis.call('HINCRBY', user_clients, user, 1)
    end
    redis.call('EXPIRE', user_clients, ttl)
    if field_ttl then
        redis.call('HEXPIRE', user_clients, ttl, 'FIELDS', 1, user)
    else
        redis.call('ZADD', user_expire, expires_at, user)
        redis.call('EXPIRE', user_expire, ttl)
    end
end
return 0
