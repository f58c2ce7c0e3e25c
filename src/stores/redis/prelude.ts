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
export const TELL: string = `${PEEK}
local W, T, X = KEYS[1], KEYS[2], KEYS[3]
local CANDIDATE, ORIGIN = string.sub(ARGV[1], 1, 8), string.sub(ARGV[1], 9)

local PUBLISH = string.sub(X, -2) == ':s' and 'SPUBLISH' or 'PUBLISH'
-- what was said to who may not publish. Where nobody can (a node of a cluster before Redis 7 knows no messages that stay
-- within a slot) nobody hears an echo either, and nothing is served on the strength of messages
local refusal
local function tell(message)
  local reply = redis.pcall(PUBLISH, X, cjson.encode(message))
  local err = type(reply) == 'table' and reply.err
  if err and not string.find(string.lower(err), 'unknown', 1, true) then refusal = err end
end

-- the reply of what others have to hear of: an error if somebody keeps entries near and was not told
local function told(reply)
  local staleness = refusal and string.match(peek('GET', W) or '', '^%S+ %d+ %d+ (%d+) ')
  if not staleness or staleness == '0' then return reply end
  return redis.error_reply('NOPERM others keep entries in their memory (cache.l1) and do not hear of this: the user needs '
    .. '+' .. string.lower(PUBLISH) .. ' and the channel ' .. X .. ' (' .. refusal .. ')')
end

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
export const PRELUDE: string = `${TELL}

local function text(number) return string.format('%.0f', number) end

local function save(epoch, floor, seq, staleness, heldUntil)
  local facts = text(floor) .. ' ' .. text(seq) .. ' ' .. text(staleness) .. ' ' .. text(heldUntil)
  redis.call('SET', W, epoch .. ' ' .. facts)
end

local function now()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

-- epoch, floor, seq, staleness, heldUntil; begins a new epoch if the old one's stamps are lost
local function watermark()
  local pattern = '^(%S+) (%d+) (%d+) (%d+) (%d+)$'
  local epoch, floor, seq, staleness, heldUntil = string.match(peek('GET', W) or '', pattern)
  local marker = peek('ZSCORE', T, '!')
  staleness, heldUntil = tonumber(staleness or 0), tonumber(heldUntil or 0)
  -- beyond it a number is no stamp: doubles would not tell one from the next
  if epoch and marker and tonumber(marker) == tonumber(floor) and tonumber(seq) < 9000000000000000 then
    return epoch, tonumber(floor), tonumber(seq), staleness, heldUntil
  end
  local birth = now()
  redis.call('DEL', T)
  redis.call('ZADD', T, text(birth), '!')
  save(CANDIDATE, birth, birth, staleness, heldUntil)
  -- whoever keeps entries near has to know, and to say anew how long it may lag
  tell({ 's', ORIGIN, CANDIDATE, text(birth), text(birth), text(birth), '' })
  return CANDIDATE, birth, birth, staleness, heldUntil
end

local function isStampedAfter(seq, name)
  local stamp = redis.call('ZSCORE', T, name)
  return stamp and tonumber(stamp) > seq
end

-- was one of names, or everything, stamped after seq? No stamp is greater than latest
local function overtaken(seq, latest, names, onlyHard)
  if seq >= latest then return false end
  for i = 0, #names do
    local name = names[i] or '*'
    if isStampedAfter(seq, name) or not onlyHard and isStampedAfter(seq, '~' .. name) then return true end
  end
  return false
end

-- is one of names, or everything, kept from being filled for a while? Everything is if the holds are lost
local function isOnHold(holds, names, heldUntil)
  local count = peek('ZCARD', holds) or 0
  if count == 0 and heldUntil == 0 then return false end
  local time = now()
  if count == 0 then return heldUntil > time end
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
export const READ_HEADER: string = `${TELL}
local replies = { peek('GET', KEYS[1]) or '' }
local function reply(key)
  local length = peek('GETRANGE', key, ${HEADER_LENGTH})
  local last = length and #length == 4 and math.min(struct.unpack('>I4', length), 1048576) - 1 or 0
  replies[#replies + 1] = length and redis.call('GETRANGE', key, 0, last) or ''
  replies[#replies + 1] = length and redis.call('PTTL', key) or -2
end
`
