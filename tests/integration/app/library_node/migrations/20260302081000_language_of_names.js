// Members get the language of the script in which their name is written: data only.
const languageOf = (name) => (/^[\u0600-\u06ff]/.test(name) ? "ar" : /^[\u2d30-\u2d7f]/.test(name) ? "tzm" : "fr");

exports.up = async (knex) => {
  for (const member of await knex("member").select("id", "name")) {
    await knex("member").where({ id: member.id }).update({ language: languageOf(member.name) });
  }
};

exports.down = async () => {};
