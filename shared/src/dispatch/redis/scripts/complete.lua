-- Everything queued was offered by the rebuild ARGV[1]; 1 when nothing came in between, such as another flush.

if redis.call('GET', base .. ':rebuilding') ~= ARGV[1] then
    return 0
end
redis.call('RENAME', base .. ':rebuilding', base .. ':generation')
return 1
