using System.CommandLine;
using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Lab;
using Penstock.Vfio;

namespace Penstock.Cli;

/// <summary>Parses and runs; every failure becomes one line on standard error and an exit status.</summary>
internal static class CommandLine
{
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

        // The library's own handling of signals is off: it gives up at once on a command that has not come to its first await yet,
        // and then temporary folders stay behind.
        var invocation = new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null };
        using var stop = new CancellationTokenSource();
        using PosixSignalRegistration interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop);
        using PosixSignalRegistration terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop);

        // A terminal that closes ends like Ctrl-C: sockets and guests must not stay behind.
        using PosixSignalRegistration hangUp = PosixSignalRegistration.Create(PosixSignal.SIGHUP, Stop);
        void Stop(PosixSignalContext signal)
        {
            // The first asks; a second Ctrl-C ends the process in the usual way. Others may come twice by themselves: a terminal's closing does.
            if (!stop.IsCancellationRequested || signal.Signal != PosixSignal.SIGINT)
            {
                signal.Cancel = true;
                _ = stop.CancelAsync();
            }
        }

        try
        {
            return await parsed.InvokeAsync(invocation, stop.Token);
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
