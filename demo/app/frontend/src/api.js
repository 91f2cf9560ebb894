/** One request to the API of this site; rejects with a sentence for the reader. */
export async function getJson(path, signal) {
  const response = await fetch(`/api/${path}`, { signal, headers: { Accept: 'application/json' } })
  if (!response.ok) {
    throw new Error(`Le catalogue ne répond pas (${response.status}).`)
  }
  return response.json()
}
