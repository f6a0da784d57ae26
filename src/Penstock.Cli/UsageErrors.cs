using System.CommandLine;
using System.CommandLine.Parsing;

namespace Penstock.Cli;

/// <summary>Says in one line what is wrong with a command line.</summary>
internal static class UsageErrors
{
    /// <summary>The command as it was typed, without options: <c>penstock serve idio16</c>.</summary>
    public static string PathOf(ParseResult parsed)
    {
        var names = new Stack<string>();
        for (SymbolResult? at = parsed.CommandResult; at is not null; at = at.Parent)
        {
            if (at is CommandResult { Command: var command })
            {
                names.Push(command is RootCommand ? "penstock" : command.Name);
            }
        }

        return string.Join(' ', names);
    }

    /// <summary>What is wrong, or null when nothing is.</summary>
    public static string? Find(ParseResult parsed)
    {
        Command command = parsed.CommandResult.Command;
        IEnumerable<string> positional = parsed.CommandResult.Children.OfType<ArgumentResult>().SelectMany(a => a.Tokens).Select(t => t.Value);
        if (parsed.UnmatchedTokens.Concat(positional).FirstOrDefault(t => t is ['-', _, ..]) is string option)
        {
            return $"there is no option '{option}'; {SeeHelp(parsed)}";
        }

        if (command.Subcommands.Count > 0 && parsed.Errors.Count > 0)
        {
            string noun = command is CommandGroup group ? group.Noun : "command";
            string names = (command.Subcommands.Count > 1 ? "one of " : "") + string.Join(", ", command.Subcommands.Select(c => c.Name));
            return parsed.UnmatchedTokens is [string name, ..]
                ? $"there is no {noun} '{name}'; choose {names}"
                : $"which {noun}? choose {names}; {SeeHelp(parsed)}";
        }

        if (parsed.UnmatchedTokens is [string extra, ..])
        {
            return $"'{extra}' is one word too many; {SeeHelp(parsed)}";
        }

        return MissingArgument(parsed) ?? WrongOption(parsed) ?? (parsed.Errors is [ParseError error, ..] ? $"{error.Message.TrimEnd('.')}; {SeeHelp(parsed)}" : null);
    }

    private static string? MissingArgument(ParseResult parsed)
    {
        Argument? missing = parsed.CommandResult.Command.Arguments.FirstOrDefault(
            a => a.Arity.MinimumNumberOfValues > 0 && parsed.GetResult(a) is null or { Tokens.Count: 0 });
        return missing is null ? null : $"{missing.Name} is missing ({missing.Description?.TrimEnd('.')}); {SeeHelp(parsed)}";
    }

    private static string? WrongOption(ParseResult parsed)
    {
        foreach (Option option in OptionsOf(parsed))
        {
            OptionResult? given = parsed.GetResult(option);
            string form = option.HelpName is null ? option.Name : $"{option.Name} {option.HelpName}";
            if (option.Required && given is null or { Implicit: true, Option.Required: true })
            {
                return $"{form} is missing ({option.Description?.TrimEnd('.')}); {SeeHelp(parsed)}";
            }

            if (given is { IdentifierTokenCount: > 1 })
            {
                return $"{option.Name} is given more than once; give it once";
            }

            if (given is { Implicit: false, Tokens.Count: 0 } && option.Arity.MinimumNumberOfValues > 0)
            {
                return $"{option.Name} needs a value: {form}; {SeeHelp(parsed)}";
            }
        }

        return null;
    }

    private static IEnumerable<Option> OptionsOf(ParseResult parsed)
    {
        for (SymbolResult? at = parsed.CommandResult; at is not null; at = at.Parent)
        {
            if (at is CommandResult { Command: var command })
            {
                bool own = at == parsed.CommandResult;
                foreach (Option option in command.Options.Where(o => own || o.Recursive))
                {
                    yield return option;
                }
            }
        }
    }

    private static string SeeHelp(ParseResult parsed) => $"'{PathOf(parsed)} --help' explains";
}
