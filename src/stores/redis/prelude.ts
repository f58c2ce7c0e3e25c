/** The Lua that the scripts have in common. What the keys hold is told in scripts.ts. */

/** A read that a key of another type does not fail. */
const PEEK = `
-- what a command that reads replies; false if nothing is there, or another type of value, which is nothing of ours
local function peek(...)
  local reply = redis.pcall(...)
  return type(reply) ~= 'table' and reply
end
`

/** The first keys and the first argument of every script by name, and how others are told what it did. */
export const TELL: string = `
local W, T, X = KEYS[1], KEYS[2], KEYS[3]
local CANDIDATE, ORIGIN = string.sub(ARGV[1], 1, 8), string.sub(ARGV[1], 9)

-- who may not publish is not listened to either: nothing is served on the strength of messages then. The same holds of
-- a node of a cluster before Redis 7, which knows no messages that stay within a slot
local PUBLISH = string.sub(X, -2) == ':s' and 'SPUBLISH' or 'PUBLISH'
local function tell(message) redis.pcall(PUBLISH, X, cjson.encode(message)) end

-- the id that a key stands for
local function idOf(key) return string.sub(key, #W) end

-- key is that of the lease: l:... stands for the entry k:..., lv:... for v:...
local function ended(lease, key)
  if not lease or string.sub(lease, 9, 9) ~= 'w' then return end
  local id = string.sub(idOf(key), 2)
  tell({ 'r', string.sub(id, 1, 1) == ':' and 'k' .. id or id })
end
`

/** The watermark, the stamps and the holds: what whoever numbers, fills or invalidates needs. */
export const PRELUDE: string = `${PEEK}${TELL}

local function text(number) return string.format('%.0f', number) end

local function save(epoch, floor, seq, staleness)
  redis.call('SET', W, epoch .. ' ' .. text(floor) .. ' ' .. text(seq) .. ' ' .. text(staleness))
end

local function now()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

-- epoch, floor, seq, staleness; begins a new epoch if the old one's stamps are lost
local function watermark()
  local epoch, floor, seq, staleness = string.match(peek('GET', W) or '', '^(%S+) (%d+) (%d+) (%d+)$')
  local marker = peek('ZSCORE', T, '!')
  staleness = tonumber(staleness or 0)
  -- beyond it a number is no stamp: doubles would not tell one from the next
  if epoch and marker and tonumber(marker) == tonumber(floor) and tonumber(seq) < 9000000000000000 then
    return epoch, tonumber(floor), tonumber(seq), staleness
  end
  local birth = now()
  redis.call('DEL', T)
  redis.call('ZADD', T, text(birth), '!')
  save(CANDIDATE, birth, birth, staleness)
  -- whoever keeps entries near has to know, and to say anew how long it may lag
  tell({ 's', ORIGIN, CANDIDATE, text(birth), text(birth), text(birth), '' })
  return CANDIDATE, birth, birth, staleness
end

local function isStampedAfter(seq, name)
  local stamp = redis.call('ZSCORE', T, name)
  return stamp and tonumber(stamp) > seq
end

-- was one of names, or everything, stamped after seq?
local function overtaken(seq, names, onlyHard)
  for i = 0, #names do
    local name = names[i] or '*'
    if isStampedAfter(seq, name) or not onlyHard and isStampedAfter(seq, '~' .. name) then return true end
  end
  return false
end

-- is one of names, or everything, kept from being filled for a while?
local function isOnHold(holds, names)
  if redis.call('EXISTS', holds) == 0 then return false end
  local time = now()
  for i = 0, #names do
    local held = peek('ZSCORE', holds, names[i] or '*')
    if held and tonumber(held) > time then return true end
  end
  return false
end

-- the bytes that lead an entry: magic, epoch, and seq twice, so that a damaged one shows
local MAGIC = '\\247TM\\1'
local function stamp(epoch, seq)
  local packed = struct.pack('>d', seq)
  return MAGIC .. epoch .. packed .. packed
end

local function slice(from, count)
  local list = {}
  for i = from, from + count - 1 do list[#list + 1] = ARGV[i] end
  return list
end
`

/** Where the name of an entry (`entryId`, 8 bytes) stands: behind its stamp. Lua counts from 1. */
export const ENTRY_ID = '29, 36'

/** Where the length of the header stands, as 4 bytes big-endian, behind the entry's name. */
const HEADER_LENGTH = '36, 39'

/** Replies what the client judges entries by: the watermark, then the header and the PTTL of each. */
export const READ_HEADER: string = `${PEEK}${TELL}
local replies = { peek('GET', KEYS[1]) or '' }
local function reply(key)
  local length = peek('GETRANGE', key, ${HEADER_LENGTH})
  local last = length and #length == 4 and math.min(struct.unpack('>I4', length), 1048576) - 1 or 0
  replies[#replies + 1] = length and redis.call('GETRANGE', key, 0, last) or ''
  replies[#replies + 1] = length and redis.call('PTTL', key) or -2
end
`
