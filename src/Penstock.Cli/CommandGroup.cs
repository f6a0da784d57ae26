using System.CommandLine;

namespace Penstock.Cli;

/// <summary>A command that only holds others; errors call those by the noun.</summary>
internal sealed class CommandGroup(string name, string description, string noun) : Command(name, description)
{
    public string Noun => noun;
}
