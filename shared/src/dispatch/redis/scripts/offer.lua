-- Offers hints: ARGV is an entry, its delay in milliseconds, the next entry, and so on. What is known already stays
-- where it is. Wakes one idle process when there is something new to claim.
-- Refused while memory is short: the caller then says so by `lost`.

local new = 0
for i = 1, #ARGV, 2 do
    new = new + offer(ARGV[i], tonumber(ARGV[i + 1]))
end
if new > 0 then
    wake()
end
return new
