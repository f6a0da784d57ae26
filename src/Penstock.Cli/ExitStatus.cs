namespace Penstock.Cli;

/// <summary>What the tool tells the shell.</summary>
internal static class ExitStatus
{
    public const int Done = 0;
    public const int Failed = 1;
    public const int WrongUsage = 2;
}
