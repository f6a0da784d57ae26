using System.CommandLine;

namespace Penstock.Cli;

/// <summary>Options that several commands have, spelled once.</summary>
internal static class CommonOptions
{
    public static Option<bool> Json() => new("--json") { Description = "Print one JSON object a line instead of text." };
}
