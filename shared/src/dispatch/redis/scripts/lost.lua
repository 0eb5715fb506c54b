-- An offer was refused: for ARGV[1] milliseconds, who finds nothing here asks the ledger. Wakes one idle process.

redis.call('SET', base .. ':lost', '', 'PX', ARGV[1])
wake()
