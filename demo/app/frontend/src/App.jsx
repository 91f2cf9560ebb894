import { useEffect, useState } from 'react'
import { getJson } from './api.js'

const RELEASE = import.meta.env.VITE_RELEASE ?? '1.0.0'
const RIGHT_TO_LEFT = ['ar']
const number = new Intl.NumberFormat('fr')

function useJson(path) {
  const [state, setState] = useState({ data: null, error: null })
  useEffect(() => {
    const abort = new AbortController()
    getJson(path, abort.signal)
      .then((data) => ({ data, error: null }), (error) => ({ data: null, error: error.message }))
      .then((answer) => abort.signal.aborted || setState(answer)) // An answer that came too late is not shown.
    return () => abort.abort()
  }, [path])
  return state
}

function Counts() {
  const { data } = useJson('stats')
  if (!data) return null
  return (
    <dl aria-label="Chiffres du catalogue">
      <div><dt>Livres</dt><dd data-testid="books">{number.format(data.books)}</dd></div>
      <div><dt>Auteurs</dt><dd data-testid="authors">{number.format(data.authors)}</dd></div>
      <div><dt>Prêts</dt><dd data-testid="loans">{number.format(data.loans)}</dd></div>
    </dl>
  )
}

function Books({ search }) {
  const { data, error } = useJson(`books?q=${encodeURIComponent(search)}`)
  if (error) return <p role="alert">{error}</p>
  if (!data) return <p role="status">Chargement…</p>
  return (
    <>
      <p role="status">{number.format(data.total)} livres trouvés</p>
      <ul aria-label="Livres">
        {data.books.map((book) => (
          <li key={book.id}>
            <span lang={book.language} dir={RIGHT_TO_LEFT.includes(book.language) ? 'rtl' : 'ltr'}>{book.title}</span>
            {' — '}<bdi lang={book.language}>{book.author}</bdi>, {book.published}
            {book.period && <small> ({book.period})</small>}
          </li>
        ))}
      </ul>
    </>
  )
}

export default function App() {
  const [typed, setTyped] = useState('')
  const [search, setSearch] = useState('')
  const { data: health } = useJson('health')
  const submit = (event) => {
    event.preventDefault()
    setSearch(typed.trim())
  }
  return (
    <>
      <header>
        <h1>Bibliothèque Dihya</h1>
        <p><span lang="ar" dir="rtl">مكتبة ديهيا</span>{' · '}<span lang="zgh">ⵜⴰⵙⴷⵍⵉⵙⵜ ⵏ ⴷⵉⵀⵢⴰ</span></p>
      </header>
      <main>
        <Counts />
        <form role="search" onSubmit={submit}>
          <label htmlFor="search">Chercher un titre</label>
          <input id="search" type="search" value={typed} onChange={(event) => setTyped(event.target.value)} />
          <button type="submit">Chercher</button>
        </form>
        <Books search={search} />
      </main>
      <footer>
        <p>Page {RELEASE}{health && `, API ${health.version}, PostgreSQL ${health.database_major}`}</p>
      </footer>
    </>
  )
}
