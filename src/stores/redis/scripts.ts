/**
 * The Lua scripts of the miss path and of writes, each beside its contract. A hit needs none.
 *
 * All keys of a store carry one hash tag. The first two keys of every script are the watermark and the stamps:
 *
 * - `w`, a string `<epoch> <floor> <seq>`: the epoch is random at birth, the floor is the least seq an entry may have,
 *   seq is the greatest stamp so far. Stamps are microseconds of the server's clock, forced to grow.
 * - `t`, a sorted set: name -> its stamp; a soft stamp's name begins with `~`. The member `!` holds the floor.
 *
 * Loss rule: if one of the two is missing or they contradict each other, what was invalidated can no longer be known.
 * A new epoch begins and everything stored before it is invalid; nothing comes back to life.
 *
 * Every script is safe to repeat, because a reply may be lost after the script ran. The first argument of those that
 * may begin an epoch is a random candidate for its name: Redis seeds Lua's own random numbers alike on every server.
 */
import { MAX_STAMPS } from '../watermark.ts'
import { defineScript, type Script } from './connection.ts'

const PEEK = `
-- what a command that reads replies; false if nothing is there, or another type of value, which is nothing of ours
local function peek(...)
  local reply = redis.pcall(...)
  return type(reply) ~= 'table' and reply
end
`

const PRELUDE = `${PEEK}
local W, T = KEYS[1], KEYS[2]

local function text(number) return string.format('%.0f', number) end

local function save(epoch, floor, seq)
  redis.call('SET', W, epoch .. ' ' .. text(floor) .. ' ' .. text(seq))
end

local function now()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

-- epoch, floor, seq; begins a new epoch if the old one's stamps are lost
local function watermark(candidate)
  local epoch, floor, seq = string.match(peek('GET', W) or '', '^(%S+) (%d+) (%d+)$')
  local marker = peek('ZSCORE', T, '!')
  if epoch and marker and tonumber(marker) == tonumber(floor) then
    return epoch, tonumber(floor), tonumber(seq)
  end
  local birth = now()
  redis.call('DEL', T)
  redis.call('ZADD', T, text(birth), '!')
  save(candidate, birth, birth)
  return candidate, birth, birth
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
const ENTRY_ID = '29, 36'

/** Where the length of the header stands, as 4 bytes big-endian, behind the entry's name. */
const HEADER_LENGTH = '36, 39'

const READ_HEADER = `${PEEK}
local replies = { peek('GET', KEYS[1]) or '' }
local function reply(key)
  local length = peek('GETRANGE', key, ${HEADER_LENGTH})
  local last = length and #length == 4 and math.min(struct.unpack('>I4', length), 1048576) - 1 or 0
  replies[#replies + 1] = length and redis.call('GETRANGE', key, 0, last) or ''
  replies[#replies + 1] = length and redis.call('PTTL', key) or -2
end
`

/**
 * ACQUIRE: the right to load an entry.
 *
 * KEYS w t entry lease [parent] · ARGV candidate, token (8 bytes), leaseMs, seen (8 bytes or ''), steal ('1' or ''),
 * parentTail, parentMs, tags...
 * Replies `['hit', entry, parentId, watermark]`, `['busy']`, or `['lead', epoch, seq, parentId]`.
 */
export const ACQUIRE: Script = defineScript(`${PRELUDE}
local epoch, floor, seq = watermark(ARGV[1])
local token, steal = ARGV[2], ARGV[5] == '1'
local tags = slice(8, #ARGV - 7)

-- does what was stored with this stamp count, as far as names tell? A soft stamp leaves it standing.
local function stands(stored, names)
  if #stored < 36 or string.sub(stored, 5, 12) ~= epoch then return false end
  local storedSeq = struct.unpack('>d', string.sub(stored, 13, 20))
  return storedSeq >= floor and not overtaken(storedSeq, names, true)
end

local parentId = ''
if KEYS[5] then
  local parent = peek('GETRANGE', KEYS[5], 0, 35) or ''
  if stands(parent, { tags[1] }) then parentId = string.sub(parent, ${ENTRY_ID}) end
end

if not steal and (parentId ~= '' or not KEYS[5]) then
  local entry = peek('GET', KEYS[3])
  if entry and string.sub(entry, ${ENTRY_ID}) ~= ARGV[4] then
    -- one that is known to be gone stays here: those who wait ask often, and it may be large
    local isGone = string.sub(entry, 1, 4) == MAGIC and not stands(entry, tags)
    if not isGone then return { 'hit', entry, parentId, redis.call('GET', W) } end
  end
end

local lease = peek('GET', KEYS[4])
if lease and not steal then
  local leaseEpoch, leaseSeq, leaseParent = string.match(string.sub(lease, 9), '^(%S+) (%d+) (.*)$')
  -- a load that was overtaken, or has lost its parent, will be refused: whoever asks now need not wait for it
  local isInForce = leaseEpoch == epoch and leaseParent == parentId
  if isInForce and not overtaken(tonumber(leaseSeq), tags) then return { 'busy' } end
end

if KEYS[5] and parentId == '' then
  parentId = token
  redis.call('SET', KEYS[5], stamp(epoch, seq) .. ARGV[6], 'PX', ARGV[7])
end
redis.call('SET', KEYS[4], token .. epoch .. ' ' .. text(seq) .. ' ' .. parentId, 'PX', ARGV[3])
return { 'lead', epoch, text(seq), parentId }
`)

/**
 * EXTEND: a lease for another leaseMs. KEYS w t lease · ARGV token, leaseMs. Replies 1, or 0 if it is lost.
 */
export const EXTEND: Script = defineScript(`
if string.sub(redis.call('GET', KEYS[3]) or '', 1, 8) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[3], ARGV[2])
`)

/**
 * FILL: end a lease, storing `tail` under it unless `tail` is empty.
 *
 * KEYS w t entry lease [parent] · ARGV candidate, token, tail, entryMs, parentId, parentTail, tags...
 * Replies 1 (stored or released) or 0 (fenced): the lease was lost, a tag was stamped since, or the parent is gone.
 */
export const FILL: Script = defineScript(`${PRELUDE}
local lease = peek('GET', KEYS[4]) or ''
if string.sub(lease, 1, 8) ~= ARGV[2] then return 0 end
redis.call('DEL', KEYS[4])

local leaseEpoch, leaseSeq = string.match(string.sub(lease, 9), '^(%S+) (%d+)')
local seq = tonumber(leaseSeq)
local epoch, floor = watermark(ARGV[1])
if leaseEpoch ~= epoch or seq < floor or overtaken(seq, slice(7, #ARGV - 6)) then return 0 end

local parent = KEYS[5] and peek('GETRANGE', KEYS[5], 0, 35) or ''
if string.sub(parent, ${ENTRY_ID}) ~= ARGV[5] then return 0 end
if ARGV[3] == '' then return 1 end

if KEYS[5] and redis.call('PTTL', KEYS[5]) < tonumber(ARGV[4]) then
  redis.call('SET', KEYS[5], string.sub(parent, 1, 28) .. ARGV[6], 'PX', ARGV[4])
end
redis.call('SET', KEYS[3], stamp(epoch, seq) .. ARGV[3], 'PX', ARGV[4])
return 1
`)

/** SET: store unconditionally and fence the loads in flight. KEYS w t entry lease · ARGV candidate, tail, entryMs. */
export const SET: Script = defineScript(`${PRELUDE}
local epoch, floor, seq = watermark(ARGV[1])
redis.call('SET', KEYS[3], stamp(epoch, seq) .. ARGV[2], 'PX', ARGV[3])
redis.call('DEL', KEYS[4])
return 1
`)

/**
 * REMOVE: entries and their leases. KEYS w t entry lease entry lease ...
 * Replies the watermark and, for each entry, the header it had for the client to judge, and its PTTL (-2: none).
 */
export const REMOVE: Script = defineScript(`${READ_HEADER}
for i = 3, #KEYS, 2 do
  reply(KEYS[i])
  redis.call('DEL', KEYS[i], KEYS[i + 1])
end
return replies
`)

/** HEADERS: as REMOVE, without removing. KEYS w t entry ... */
export const HEADERS: Script = defineScript(`${READ_HEADER}
for i = 3, #KEYS do reply(KEYS[i]) end
return replies
`)

/**
 * EXPIRE: give an entry new windows, if it still has the header that they were made from.
 * KEYS w t entry · ARGV old header, new header, entryMs. Replies 1, or 0 if the entry changed meanwhile.
 */
export const EXPIRE: Script = defineScript(`
if redis.call('GETRANGE', KEYS[3], 0, #ARGV[1] - 1) ~= ARGV[1] then return 0 end
redis.call('SETRANGE', KEYS[3], 0, ARGV[2])
return redis.call('PEXPIRE', KEYS[3], ARGV[3])
`)

/**
 * INVALIDATE: give each name a new stamp. KEYS w t · ARGV candidate, stampsMs, '~' (soft) or '', names...
 * Forgets the stamps that are older than stampsMs or too many, at most 100 more than it gives; the floor rises to them.
 */
export const INVALIDATE: Script = defineScript(`${PRELUDE}
local epoch, floor, seq = watermark(ARGV[1])
local time = now()
local stamped = math.max(time, seq + 1)
for i = 4, #ARGV do redis.call('ZADD', T, text(stamped), ARGV[3] .. ARGV[i]) end

local horizon = time - tonumber(ARGV[2]) * 1000
local excess = redis.call('ZCARD', T) - ${MAX_STAMPS}
local oldest = redis.call('ZRANGE', T, 0, 100 + #ARGV, 'WITHSCORES')
local lowest = floor
for i = 1, #oldest, 2 do
  local score = tonumber(oldest[i + 1])
  if score > horizon and excess <= 0 then break end
  if oldest[i] ~= '!' then
    redis.call('ZREM', T, oldest[i])
    excess = excess - 1
    lowest = math.max(lowest, score)
  end
end
if lowest > floor then redis.call('ZADD', T, text(lowest), '!') end
save(epoch, lowest, stamped)
return 1
`)

/**
 * SYNC: the stamps given after `since`, and the watermark. KEYS w t · ARGV candidate, epoch, since.
 * Replies `[watermark, name, stamp, name, stamp, ...]`, from the oldest; all of them if the epoch is another one.
 */
export const SYNC: Script = defineScript(`${PRELUDE}
local epoch, floor, seq = watermark(ARGV[1])
local since = epoch == ARGV[2] and '(' .. ARGV[3] or '-inf'
local replies = redis.call('ZRANGEBYSCORE', T, since, '+inf', 'WITHSCORES')
table.insert(replies, 1, epoch .. ' ' .. text(floor) .. ' ' .. text(seq))
return replies
`)
