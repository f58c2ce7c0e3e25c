/** Other caches in a route: `<peer>, <place>, <form>`. */
import { itemPage } from '../harness/payloads.mjs'
import { PEERS } from '../peers/measured.mjs'
import { sendHit } from './pages.mjs'

/** What a route keeps in such a cache: the object, as documents show it, or its JSON, which is the faster way. */
const FORMS = {
  objects: (page) => itemPage(page),
  'finished text': (page) => JSON.stringify(itemPage(page)),
}

/** Names of servers, for a place and a form. */
export function peerNames(place, form) {
  return PEERS[place].map(({ name }) => `${name}, ${place}, ${form}`)
}

/** Registers the route of such a server. */
export async function peerRoute(app, port, name) {
  for (const [place, peers] of Object.entries(PEERS)) {
    for (const [i, peer] of peers.entries()) {
      for (const [form, make] of Object.entries(FORMS)) {
        if (name !== `${peer.name}, ${place}, ${form}`) continue
        // Those of one Redis, in either form, have the same keys.
        const redis = { host: '127.0.0.1', port, db: 1 + 2 * i + (form === 'objects' ? 0 : 1) }
        const { read } = await peer.open({ redis, load: async (page) => make(Number(page)) })
        app.get('/pages/:page', async (request, reply) => sendHit(request, reply, await read(request.params.page)))
        return
      }
    }
  }
  throw new Error(`server: expected a contestant, got ${name}`)
}
