namespace Penstock.Cli.Replay;

/// <summary>What of a conversation is replayed, and how.</summary>
/// <param name="Mark">Prints the pages that are mapped at this mark, not the messages.</param>
/// <param name="Index">Replays the function with this index in its handle alone.</param>
/// <param name="Limit">How many mappings the container takes.</param>
/// <param name="Corrected">Replays with this project's corrections of what QEMU does.</param>
internal sealed record ReplayOptions(string? Mark, uint? Index, int? Limit, bool Corrected);
