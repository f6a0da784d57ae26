using Penstock.Lab.Processes;

namespace Penstock.Lab.Tests;

/// <summary>The program that the process tests start and kill: it supervises what its arguments name and waits.</summary>
internal static class SupervisingParent
{
    private static async Task<int> Main(string[] arguments)
    {
        await using var process = SupervisedProcess.Start(arguments[0], arguments[1..]);
        Console.WriteLine("started");
        return await process.Exit;
    }
}
