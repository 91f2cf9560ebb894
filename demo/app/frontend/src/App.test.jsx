import { cleanup, fireEvent, render, screen } from '@testing-library/react'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import App from './App.jsx'

const answers = {
  '/api/health': { version: '1.0.0', database_major: 16 },
  '/api/stats': { books: 90000, authors: 20000, loans: 120000 },
  '/api/books?q=': { total: 2, books: [
    { id: 1, title: 'ⴰⵡⴰⵍ', author: 'ⴷⵉⵀⵢⴰ', language: 'zgh', published: 1951 },
    { id: 2, title: 'كتاب الجبل', author: 'كاتب', language: 'ar', published: 1962 },
  ] },
  '/api/books?q=montagne': { total: 1, books: [{ id: 3, title: 'La montagne', author: 'Inès', language: 'fr', published: 1990 }] },
}

beforeEach(() => {
  vi.stubGlobal('fetch', vi.fn(async (path) => path in answers
    ? { ok: true, status: 200, json: async () => answers[path] }
    : { ok: false, status: 503, json: async () => ({}) }))
})
afterEach(() => {
  cleanup()
  vi.unstubAllGlobals()
})

test('shows books in their own script and direction, and the counts', async () => {
  render(<App />)
  expect((await screen.findByText('كتاب الجبل')).getAttribute('dir')).toBe('rtl')
  expect(screen.getByText('ⴰⵡⴰⵍ').getAttribute('lang')).toBe('zgh')
  expect((await screen.findByTestId('books')).textContent.replace(/\s/g, ' ')).toBe('90 000')
})

test('searches for what was typed', async () => {
  render(<App />)
  fireEvent.change(screen.getByLabelText('Chercher un titre'), { target: { value: ' montagne ' } })
  fireEvent.click(screen.getByRole('button', { name: 'Chercher' }))
  expect(await screen.findByText('La montagne')).toBeTruthy()
})

test('says so when the catalogue does not answer', async () => {
  render(<App />)
  fireEvent.change(screen.getByLabelText('Chercher un titre'), { target: { value: 'panne' } })
  fireEvent.click(screen.getByRole('button', { name: 'Chercher' }))
  expect((await screen.findByRole('alert')).textContent).toContain('503')
})
