// Every environment is the one of the address.
module.exports = { production: { use_env_variable: "DATABASE_URL", dialect: "postgres", logging: false } };
