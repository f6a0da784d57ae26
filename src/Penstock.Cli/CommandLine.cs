using System.CommandLine;
using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Lab;
using Penstock.Vfio;

namespace Penstock.Cli;

/// <summary>Parses and runs; every failure becomes one line on standard error and an exit status.</summary>
internal static class CommandLine
{
    private static readonly TimeSpan TimeToEnd = TimeSpan.FromSeconds(20);

    public static async Task<int> RunAsync(RootCommand root, string[] args)
    {
        // A leading '@' is part of a name here, not a file of more arguments.
        ParseResult parsed = root.Parse(args, new ParserConfiguration { ResponseFileTokenReplacer = null });
        string command = UsageErrors.PathOf(parsed);
        bool wantsHelp = parsed.Action is System.CommandLine.Help.HelpAction;
        if (!wantsHelp && UsageErrors.Find(parsed) is string wrong)
        {
            return Fail(command, wrong, ExitStatus.WrongUsage);
        }

        // A terminal that closes ends like Ctrl-C, which the parser sees to: sockets and guests must not stay behind.
        using var hangUp = new CancellationTokenSource();
        using var registration = PosixSignalRegistration.Create(PosixSignal.SIGHUP, signal =>
        {
            signal.Cancel = true;
            hangUp.Cancel();
        });
        var configuration = new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = TimeToEnd };
        try
        {
            return await parsed.InvokeAsync(configuration, hangUp.Token);
        }
        catch (UsageException usage)
        {
            return Fail(command, usage.Message, ExitStatus.WrongUsage);
        }
        catch (OperationCanceledException)
        {
            return Fail(command, "interrupted", ExitStatus.Failed);
        }
        catch (Exception e) when (e is VfioException or SystemCallException or LabException or IOException or UnauthorizedAccessException)
        {
            return Fail(command, e.Message, ExitStatus.Failed);
        }
        catch (Exception defect)
        {
            return Fail(command, $"a defect in penstock, please report it: {defect}", ExitStatus.Failed);
        }
    }

    private static int Fail(string command, string message, int status)
    {
        Console.Error.WriteLine($"{command}: {message}");
        return status;
    }
}
