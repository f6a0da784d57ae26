using System.CommandLine;
using System.Globalization;
using Penstock.Specs.Zpci;

namespace Penstock.Cli.Replay;

/// <summary><c>penstock replay zpci FILE</c>: what recorded guests' tables map, and what recorded calls make the VMM do.</summary>
internal static class ReplayCommand
{
    public static Command Create()
    {
        var group = new CommandGroup("replay", "Replay recordings of guests.", "kind of recording");
        group.Subcommands.Add(CreateZpci());
        return group;
    }

    private static Command CreateZpci()
    {
        var file = new Argument<string>("FILE")
        {
            Description = "LABEL.json, with LABEL.tables.gz beside it: prints the live pages. LABEL.calls.txt[.gz]: prints the messages.",
        };
        var mark = new Option<string?>("--at") { HelpName = "MARK", Description = "Print the pages that are mapped at this mark of a recording of calls." };
        var function = new Option<string?>("--function") { HelpName = "HANDLE", Description = "Replay the calls of one function alone: its handle, or its index, in hex." };
        Option<int?> limit = CommonOptions.Number("--limit", 1, int.MaxValue, "How many mappings the container takes (no limit).");
        var corrected = new Option<bool>("--corrected") { Description = "Replay with the corrections of Penstock, not as QEMU does it." };
        var command = new Command(
            "zpci",
            "Print what recorded I/O tables of an s390x guest map ('IOVA ADDRESS r|rw'), or the messages that the fallback sends for its "
            + "recorded calls ('M IOVA SIZE ADDRESS r|rw', 'U IOVA SIZE'); numbers are in hex.")
        {
            file, mark, function, limit, corrected,
        };
        command.SetAction(parsed => Run(
            parsed.GetRequiredValue(file),
            new ReplayOptions(parsed.GetValue(mark), IndexOf(parsed.GetValue(function)), parsed.GetValue(limit), parsed.GetValue(corrected))));
        return command;
    }

    private static uint? IndexOf(string? handle) =>
        handle is null ? null
        : uint.TryParse(handle.StartsWith("0x", StringComparison.Ordinal) ? handle[2..] : handle, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out uint value)
            ? value & ZpciHandle.IndexMask
            : throw new UsageException($"--function '{handle}' is not a handle or index in hex, such as 80020000");

    private static int Run(string path, ReplayOptions options)
    {
        bool tables = TablesRecording.Fits(path);
        if (tables && options != new ReplayOptions(null, null, null, false))
        {
            throw new UsageException($"'{path}' is a recording of tables; --at, --function, --limit and --corrected are for recordings of calls");
        }

        if (!tables && !path.EndsWith(".txt", StringComparison.Ordinal) && !path.EndsWith(".txt.gz", StringComparison.Ordinal))
        {
            throw new UsageException($"'{path}' is neither LABEL.json nor LABEL.calls.txt or LABEL.calls.txt.gz; name one of those");
        }

        var notes = new ReplayNotes();
        using Stream standardOutput = Console.OpenStandardOutput();
        using var output = new ReplayOutput(standardOutput);
        if (tables)
        {
            new TablesReplay(TablesRecording.Load(path), output, notes).Run();
        }
        else
        {
            new CallsReplay(path, options, output, notes).Run();
        }

        output.Flush();
        notes.WriteTo(Console.Error);
        return ExitStatus.Done;
    }
}
