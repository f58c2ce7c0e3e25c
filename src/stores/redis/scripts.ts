/**
 * The Lua scripts of the miss path and of writes, each beside its contract. A hit needs none.
 *
 * All keys of a store carry one hash tag. The first three keys of every script are the watermark, the stamps and the
 * name of the channel on which everybody is told what a script did (coherence.ts):
 *
 * - `w`, a string `<epoch> <floor> <seq> <staleness> <heldUntil>`: the epoch is random at birth, the floor is the least
 *   seq an entry may have, seq is the greatest stamp so far, staleness the longest that anybody's memory in front may lag
 *   behind, in milliseconds, heldUntil the end of the last hold: a Redis that is full may drop the holds, and until then
 *   everything is on hold. Stamps are microseconds of the server's clock, forced to grow.
 * - `t`, a sorted set: name -> its stamp; a soft stamp's name begins with `~`. The member `!` holds the floor.
 *
 * Loss rule: if one of the two is missing or they contradict each other, what was invalidated can no longer be known.
 * A new epoch begins and everything stored before it is invalid; nothing comes back to life.
 *
 * Every script is safe to repeat, because a reply may be lost after the script ran. The first argument of every script is
 * `<candidate><origin>`, 8 characters each: a random name should an epoch have to begin (Redis seeds Lua's own random
 * numbers alike on every server), and the name of the store that calls.
 *
 * A lease is `<token><awaited><stolen><epoch> <seq> <parent>`: 8 bytes, `w` once somebody waits, `s` if it was taken by
 * force, and what the load began with.
 */
import { MAX_STAMPS } from '../watermark.ts'
import { defineScript, type Script } from './connection.ts'
import { ENTRY_ID, PRELUDE, READ_HEADER, TELL } from './prelude.ts'

/**
 * ACQUIRE: the right to load an entry.
 *
 * KEYS w t x entry lease [parent] · ARGV call, token (8 bytes), leaseMs, seen (8 bytes or ''), steal ('1' or ''),
 * parentTail, parentMs, tags...
 * Replies `['hit', entry, parentId, watermark]`, `['busy']`, or `['lead', epoch, seq, parentId]`.
 */
export const ACQUIRE: Script = defineScript(`${PRELUDE}
local epoch, floor, seq = watermark()
local token, steal = ARGV[2], ARGV[5] == '1'
local tags = slice(8, #ARGV - 7)

-- does what was stored with this stamp count, as far as names tell? A soft stamp leaves it standing.
local function stands(stored, names)
  if #stored < 36 or string.sub(stored, 5, 12) ~= epoch then return false end
  local storedSeq = struct.unpack('>d', string.sub(stored, 13, 20))
  return storedSeq >= floor and not overtaken(storedSeq, seq, names, true)
end

local parentId = ''
if KEYS[6] then
  local parent = peek('GETRANGE', KEYS[6], 0, 35) or ''
  if stands(parent, { tags[1] }) then parentId = string.sub(parent, ${ENTRY_ID}) end
end

if not steal and (parentId ~= '' or not KEYS[6]) then
  local entry = peek('GET', KEYS[4])
  if entry and string.sub(entry, ${ENTRY_ID}) ~= ARGV[4] then
    -- one that is known to be gone stays here: those who wait ask often, and it may be large
    local isGone = string.sub(entry, 1, 4) == MAGIC and not stands(entry, tags)
    if not isGone then return { 'hit', entry, parentId, redis.call('GET', W) } end
  end
end

local lease = peek('GET', KEYS[5])
if lease and not steal then
  local leaseEpoch, leaseSeq, leaseParent = string.match(string.sub(lease, 11), '^(%S+) (%d+) (.*)$')
  -- a load that was overtaken, or has lost its parent, will be refused: whoever asks now need not wait for it
  local isInForce = leaseEpoch == epoch and leaseParent == parentId
  if isInForce and not overtaken(tonumber(leaseSeq), seq, tags) then
    redis.call('SETRANGE', KEYS[5], 8, 'w')
    return { 'busy' }
  end
end

if KEYS[6] and parentId == '' then
  parentId = token
  redis.call('SET', KEYS[6], stamp(epoch, seq) .. ARGV[6], 'PX', ARGV[7])
end
-- who waits for the lease that is taken over here goes on waiting for this one
local awaited = lease and string.sub(lease, 9, 9) == 'w' and 'w' or '-'
local facts = awaited .. (steal and 's' or '-') .. epoch .. ' ' .. text(seq) .. ' ' .. parentId
redis.call('SET', KEYS[5], token .. facts, 'PX', ARGV[3])
return { 'lead', epoch, text(seq), parentId }
`)

/**
 * EXTEND: a lease for another leaseMs. KEYS w t x lease · ARGV call, token, leaseMs. Replies 1, or 0 if it is lost.
 */
export const EXTEND: Script = defineScript(`
if string.sub(redis.call('GET', KEYS[4]) or '', 1, 8) ~= ARGV[2] then return 0 end
return redis.call('PEXPIRE', KEYS[4], ARGV[3])
`)

/**
 * FILL: end a lease, storing `tail` under it unless `tail` is empty.
 *
 * KEYS w t x entry lease holds [parent] · ARGV call, token, tail, entryMs, parentId, parentTail, tags...
 * Replies 1 (stored or released), or fenced: 0 the lease was lost, -1 a tag was stamped since or is on hold, -2 the parent
 * is gone.
 */
export const FILL: Script = defineScript(`${PRELUDE}
local lease = peek('GET', KEYS[5]) or ''
if string.sub(lease, 1, 8) ~= ARGV[2] then return 0 end
redis.call('DEL', KEYS[5])
ended(lease, KEYS[5])

local leaseEpoch, leaseSeq = string.match(string.sub(lease, 11), '^(%S+) (%d+)')
local seq = tonumber(leaseSeq)
local epoch, floor, latest, _, heldUntil = watermark()
local tags = slice(7, #ARGV - 6)
if leaseEpoch ~= epoch or seq < floor or overtaken(seq, latest, tags) or isOnHold(KEYS[6], tags, heldUntil) then return -1 end

local parent = KEYS[7] and peek('GETRANGE', KEYS[7], 0, 35) or ''
if string.sub(parent, ${ENTRY_ID}) ~= ARGV[5] then return -2 end
if ARGV[3] == '' then return 1 end

if KEYS[7] then
  -- it says when the latest of its children ends, and stays as long as the longest-lived one
  local lifetime = math.max(redis.call('PTTL', KEYS[7]), tonumber(ARGV[4]))
  redis.call('SET', KEYS[7], string.sub(parent, 1, 28) .. ARGV[6], 'PX', text(lifetime))
end
redis.call('SET', KEYS[4], stamp(epoch, seq) .. ARGV[3], 'PX', ARGV[4])
if string.sub(lease, 10, 10) ~= 's' then return 1 end
tell({ 'k', ORIGIN, idOf(KEYS[4]) })
return told(1)
`)

/**
 * SET: store unconditionally and fence the loads in flight. KEYS w t x entry lease · ARGV call, tail, entryMs.
 */
export const SET: Script = defineScript(
  `${PRELUDE}
local epoch, floor, seq = watermark()
redis.call('SET', KEYS[4], stamp(epoch, seq) .. ARGV[2], 'PX', ARGV[3])
ended(peek('GET', KEYS[5]), KEYS[5])
redis.call('DEL', KEYS[5])
tell({ 'k', ORIGIN, idOf(KEYS[4]) })
return told(1)
`,
  true,
)

/**
 * REMOVE: entries and their leases. KEYS w t x entry lease entry lease ...
 * Replies the watermark and, for each entry, the header it had for the client to judge, and its PTTL (-2: none).
 */
export const REMOVE: Script = defineScript(
  `${READ_HEADER}
local removed = { 'k', ORIGIN }
for i = 4, #KEYS, 2 do
  reply(KEYS[i])
  ended(peek('GET', KEYS[i + 1]), KEYS[i + 1])
  redis.call('DEL', KEYS[i], KEYS[i + 1])
  removed[#removed + 1] = idOf(KEYS[i])
end
tell(removed)
return told(replies)
`,
  true,
)

/** HEADERS: as REMOVE, without removing. KEYS w t x entry ... */
export const HEADERS: Script = defineScript(`${READ_HEADER}
for i = 4, #KEYS do reply(KEYS[i]) end
return replies
`)

/**
 * EXPIRE: give an entry new windows, if it still has the header that they were made from.
 * KEYS w t x entry · ARGV call, old header, new header, entryMs. Replies 1, or 0 if the entry changed meanwhile.
 */
export const EXPIRE: Script = defineScript(`${TELL}
if redis.call('GETRANGE', KEYS[4], 0, #ARGV[2] - 1) ~= ARGV[2] then return 0 end
redis.call('SETRANGE', KEYS[4], 0, ARGV[3])
tell({ 'k', ORIGIN, idOf(KEYS[4]) })
return told(redis.call('PEXPIRE', KEYS[4], ARGV[4]))
`)

/**
 * So long after the birth of an epoch its staleness may be too low: memories in front have not said so yet, or serve on
 * the strength of the epoch before. It is the greatest that `cache.l1.maxStaleness` may be.
 */
const YOUTH_MS = 2000

/** Beyond so many names on hold everything is, until the last of them ends. */
const MAX_HOLDS = 10_000

/**
 * INVALIDATE: give each name a new stamp, and for `holdMs` refuse all fills that bear one of them. A full Redis takes it
 * too: what it adds is bounded, and a script whose first write takes something away is let finish.
 *
 * KEYS w t x holds · ARGV call, stampsMs, '~' (soft) or '', holdMs, names...
 * Forgets the stamps that are older than stampsMs or too many, at most 100 more than it gives; the floor rises to them.
 * Replies `[epoch, before, seq, floor, staleness]`: the seq until then, and the longest that anybody's L1 may lag (ms).
 */
export const INVALIDATE: Script = defineScript(
  `${PRELUDE}
local time = now()
local swept = redis.pcall('ZREMRANGEBYSCORE', KEYS[4], '-inf', text(time))
-- nothing of ours stands there, and it must not keep anybody from invalidating
if type(swept) == 'table' and string.find(swept.err, 'WRONGTYPE', 1, true) then redis.call('DEL', KEYS[4]) end
local epoch, floor, seq, staleness, heldUntil = watermark()
local stamped = math.max(time, seq + 1)
local holdMs = tonumber(ARGV[4])
for i = 5, #ARGV do redis.call('ZADD', T, text(stamped), ARGV[3] .. ARGV[i]) end
-- before anything that may fail
local lastEnd = math.max(heldUntil, holdMs > 0 and time + holdMs * 1000 or 0)
save(epoch, floor, stamped, staleness, lastEnd)

if holdMs > 0 then
  -- those that are lost go on
  if heldUntil > time and redis.call('ZCARD', KEYS[4]) == 0 then redis.call('ZADD', KEYS[4], text(heldUntil), '*') end
  for i = 5, #ARGV do redis.call('ZADD', KEYS[4], 'GT', text(time + holdMs * 1000), ARGV[i]) end
  local last = redis.call('ZRANGE', KEYS[4], -1, -1, 'WITHSCORES')[2]
  if redis.call('ZCARD', KEYS[4]) > ${MAX_HOLDS} then
    redis.call('DEL', KEYS[4])
    redis.call('ZADD', KEYS[4], last, '*')
  end
  redis.call('PEXPIRE', KEYS[4], text(math.ceil((tonumber(last) - time) / 1000)))
end

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
if lowest > floor then
  redis.call('ZADD', T, text(lowest), '!')
  save(epoch, lowest, stamped, staleness, lastEnd)
end

local reply = { epoch, text(seq), text(stamped), text(lowest) }
local message = { 's', ORIGIN, epoch, text(seq), text(stamped), text(lowest), ARGV[3] }
for i = 5, #ARGV do message[#message + 1] = ARGV[i] end
tell(message)
local youth = math.min(math.ceil((floor - time) / 1000) + ${YOUTH_MS}, ${YOUTH_MS})
reply[5] = text(math.max(staleness, youth))
return told(reply)
`,
  true,
)

/**
 * GREET: the first thing said on every new connection; nothing is read before it was answered. Another server answers
 * than before (restart, failover): it may have forgotten invalidations, so a new epoch begins. So it does where a server
 * is the one that it was, and the caller comes from another one, where things were invalidated that this one knows
 * nothing of: an address that passed to another server and back. Once for all who come from there, but for those who
 * invalidated something there later.
 *
 * KEYS w t x meta holds · ARGV call, '1' (or '': trust), shards, the epoch that the caller saw last (or ''), how many
 * milliseconds ago it last invalidated something (or ''). Replies which server it is and its epoch, 0 with trust;
 * `READONLY` on a replica, whatever it knows; `NOPERM` if the server does not say which one it is; `SHARDS` if others
 * spread the same prefix over another number of shards: neither would hear of the other's invalidations.
 */
export const GREET: Script = defineScript(`${PRELUDE}
-- any write tells a replica; this one takes nothing away, and after it a full Redis lets the others pass
local probe = redis.pcall('ZREMRANGEBYSCORE', KEYS[5], '-inf', text(now()))
if type(probe) == 'table' and string.find(probe.err or '', 'READONLY', 1, true) then
  return redis.error_reply("READONLY it is a replica that takes no writes")
end
local shards = peek('HGET', KEYS[4], 'shards')
if shards and shards ~= ARGV[3] then
  return redis.error_reply('SHARDS the prefix is used with ' .. shards .. ' shards, here it would be ' .. ARGV[3])
end
-- who has no room for it, or finds something else there, goes without
if not shards then redis.pcall('HSET', KEYS[4], 'shards', ARGV[3]) end
if ARGV[2] ~= '1' then return 0 end

local info = redis.pcall('INFO', 'server')
local run = type(info) == 'string' and string.match(info, 'run_id:(%w+)')
if not run then return redis.error_reply('NOPERM INFO: ' .. (type(info) == 'table' and info.err or 'no run_id')) end

local before, at = ARGV[4], now()
-- whom from elsewhere the present epoch is younger than: the epoch that they saw last, and since when
local noted = peek('HGET', KEYS[4], 'from') or ''
local function isDealtWith()
  if before == '' or before == string.match(peek('GET', W) or '', '^%S+') then return true end
  local _, found = string.find(noted, before .. ':', 1, true)
  local since = found and tonumber(string.match(noted, '^%d+', found + 1))
  return since and since >= at - (tonumber(ARGV[5]) or math.huge) * 1000
end
if peek('HGET', KEYS[4], 'run') == run and isDealtWith() then
  -- who cannot write has none; the name in its place is nobody's epoch, and so never taken for one that is known
  local isThere, epoch = pcall(watermark)
  return { run, isThere and epoch or run }
end

-- nor is it known whether an unknown one (FLUSHALL forgot it) is the same. First of all nothing is valid any more:
-- whatever fails after this, nothing comes back
redis.call('DEL', W)
if type(redis.pcall('HSET', KEYS[4], 'run', run)) == 'table' then
  redis.call('DEL', KEYS[4])
  redis.call('HSET', KEYS[4], 'run', run)
  redis.pcall('HSET', KEYS[4], 'shards', ARGV[3])
end
if before ~= '' then
  redis.pcall('HSET', KEYS[4], 'from', string.sub(before .. ':' .. text(at) .. ' ' .. noted, 1, 512))
end
return { run, (watermark()) }
`)

/**
 * SYNC: the stamps given after `since`, and the watermark. KEYS w t x · ARGV call, epoch, since, staleness, echo (or '').
 * Replies `[watermark, name, stamp, name, stamp, ...]`, from the oldest; all of them if the epoch is another one.
 * Makes known how long the memory in front of this store may lag: it serves nothing before it has synced. Whoever listens
 * to this very server hears the echo.
 */
export const SYNC: Script = defineScript(`${PRELUDE}
local epoch, floor, seq, staleness, heldUntil = watermark()
if tonumber(ARGV[4]) > staleness then save(epoch, floor, seq, tonumber(ARGV[4]), heldUntil) end
if ARGV[5] ~= '' then
  -- a replica would hand it on, which may be what is listened to by mistake
  pcall(redis.set_repl, redis.REPL_NONE)
  tell({ 'e', ORIGIN, ARGV[5] })
  pcall(redis.set_repl, redis.REPL_ALL)
end
local since = epoch == ARGV[2] and '(' .. ARGV[3] or '-inf'
local replies = redis.call('ZRANGEBYSCORE', T, since, '+inf', 'WITHSCORES')
table.insert(replies, 1, epoch .. ' ' .. text(floor) .. ' ' .. text(seq))
return replies
`)
