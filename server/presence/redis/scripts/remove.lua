-- Removes a client, and its user when it was the last one of that user.
local expire, data, user_expire, user_clients = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local client, user = ARGV[1], ARGV[2]
local count_users, field_ttl = ARGV[3] == '1', ARGV[4] == '1'

local was_there = redis.call('HDEL', data, client) == 1
if not field_ttl then
    redis.call('ZREM', expire, client)
end
if count_users and was_there and redis.call('HINCRBY', user_clients, user, -1) <= 0 then
    redis.call('HDEL', user_clients, user)
    if not field_ttl then
        redis.call('ZREM', user_expire, user)
    end
end
return 0
