/** What is cached: an object of 1 KB, and a list of 100 items of 20 KB, as JSON. */

/** JSON.stringify makes 1024 bytes of it, whatever the id up to 6 digits. */
export function record(id) {
  const digits = String(id).padStart(6, '0')
  const object = {
    id,
    name: `user ${digits}`,
    email: `user-${digits}@example.com`,
    isActive: true,
    roles: ['reader', 'writer'],
    address: { street: '12 Long Street', city: 'Springfield', zip: digits },
    about: '',
  }
  object.about = 'x'.repeat(1024 - JSON.stringify(object).length)
  return object
}

/** A page of 100 items, as a list endpoint answers it; 20 KB for every page from 000 to 999. */
export function itemPage(page) {
  return { page: String(page).padStart(3, '0'), items: Array.from({ length: 100 }, (_, i) => item(i)) }
}

function item(i) {
  return {
    id: 1000 + i,
    name: `Item number ${100 + i}`,
    description: 'A thing that is listed among others, with a text of usual size',
    price: 10.5 + i,
    inStock: i % 3 !== 0,
    category: 'tools',
    updatedAt: '2026-11-22T10:30:00.000Z',
  }
}
