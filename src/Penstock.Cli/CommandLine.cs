using System.CommandLine;
using Penstock.Interop;
using Penstock.Lab;
using Penstock.Vfio;

namespace Penstock.Cli;

/// <summary>Parses and runs; every failure becomes one line on standard error and an exit status.</summary>
internal static class CommandLine
{
    public static async Task<int> RunAsync(RootCommand root, string[] args)
    {
        ParseResult parsed = root.Parse(args);
        if (parsed.Errors.Count > 0)
        {
            string command = string.Join(' ', CommandPath(parsed));
            Console.Error.WriteLine($"{command}: {parsed.Errors[0].Message}");
            Console.Error.WriteLine($"'{command} --help' shows what is possible.");
            return ExitStatus.WrongUsage;
        }

        try
        {
            var invocation = new InvocationConfiguration
            {
                EnableDefaultExceptionHandler = false,
                ProcessTerminationTimeout = TimeSpan.FromSeconds(20),
            };
            return await parsed.InvokeAsync(invocation);
        }
        catch (UsageException usage)
        {
            return Fail(usage.Message, ExitStatus.WrongUsage);
        }
        catch (OperationCanceledException)
        {
            return Fail("interrupted", ExitStatus.Failed);
        }
        catch (Exception e) when (e is VfioException or SystemCallException or LabException or IOException or UnauthorizedAccessException)
        {
            return Fail(e.Message, ExitStatus.Failed);
        }
    }

    private static int Fail(string message, int status)
    {
        Console.Error.WriteLine($"penstock: {message}");
        return status;
    }

    private static List<string> CommandPath(ParseResult parsed)
    {
        var names = new List<string>();
        for (System.CommandLine.Parsing.SymbolResult? at = parsed.CommandResult; at is not null; at = at.Parent)
        {
            if (at is System.CommandLine.Parsing.CommandResult command)
            {
                names.Insert(0, command.Command is RootCommand ? "penstock" : command.Command.Name);
            }
        }

        return names;
    }
}
