using System.Diagnostics;
using System.Globalization;
using System.IO.Enumeration;
using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio;
using Penstock.VfioUser;

namespace Penstock.Cli.Bench;

/// <summary>The client that measures when no other is named: Penstock's own, so a figure has the time of both ends.</summary>
internal sealed class MessagesClient(VfioUserClient client)
{
    private const int WarmUpShare = 10;
    private const ulong MapAt = 1ul << 32;
    private const int Page = 4096;
    private const int HugePage = 2 << 20;

    private readonly byte[] _data = new byte[Page];

    /// <summary>What it can measure, and what carries so many operations out.</summary>
    private static (string Name, Action<MessagesClient, int> Run)[] Measures =>
    [
        ("region_read_4", static (c, n) => Repeat(n, () => c.Read(sizeof(uint)))),
        ("region_write_4", static (c, n) => Repeat(n, () => c.Write(sizeof(uint)))),
        ("region_write_4_posted", static (c, n) => c.Post(n)),
        ("region_read_4096", static (c, n) => Repeat(n, () => c.Read(Page))),
        ("region_write_4096", static (c, n) => Repeat(n, () => c.Write(Page))),
        ("dma_map_unmap_4k", static (c, n) => c.MapProcessMemory(n, Page)),
        ("dma_map_unmap_4k_fd", static (c, n) => c.MapFile(n, Page)),
        ("dma_map_unmap_2m_fd", static (c, n) => c.MapFile(n, HugePage)),
    ];

    /// <summary>Looks at patterns before anything is started for them.</summary>
    /// <exception cref="UsageException">They choose nothing, or a count is none.</exception>
    public static void Check(string patterns)
    {
        if (Measures.Max(m => CountOf(m.Name, patterns, 1)) == 0)
        {
            throw new UsageException($"--measures '{patterns}' fits nothing that can be measured without --client; that is {string.Join(", ", Measures.Select(m => m.Name))}");
        }
    }

    /// <summary>Measures what the patterns choose; of several that fit, the last one decides how often.</summary>
    /// <param name="patterns">Shell patterns with commas between, each with <c>:COUNT</c> behind it or without.</param>
    /// <param name="operations">How often, where a pattern does not say.</param>
    /// <returns>Names, and nanoseconds for an operation.</returns>
    public IEnumerable<(string Measure, double Mean)> Measure(string patterns, int operations)
    {
        foreach ((string name, Action<MessagesClient, int> run) in Measures)
        {
            int count = CountOf(name, patterns, operations);
            if (count > 0)
            {
                run(this, Math.Max(1, count / WarmUpShare));
                long start = Stopwatch.GetTimestamp();
                run(this, count);
                yield return (name, Stopwatch.GetElapsedTime(start).TotalNanoseconds / count);
            }
        }
    }

    private static int CountOf(string name, string patterns, int operations)
    {
        int count = 0;
        foreach (string pattern in patterns.Split(','))
        {
            string[] parts = pattern.Split(':', 2);
            if (FileSystemName.MatchesSimpleExpression(parts[0], name, ignoreCase: false))
            {
                count = parts.Length == 1 ? operations
                    : int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out int given) && given > 0 ? given
                    : throw new UsageException($"--measures '{pattern}': '{parts[1]}' is no number of operations");
            }
        }

        return count;
    }

    private static void Repeat(int count, Action once)
    {
        for (int i = 0; i < count; i++)
        {
            once();
        }
    }

    private void Read(int length) => client.Read(VfioRegions.Bar0, 0, _data.AsSpan(0, length));

    private void Write(int length, bool posted = false) => client.Write(VfioRegions.Bar0, 0, _data.AsSpan(0, length), posted);

    private void Post(int count)
    {
        Repeat(count, () => Write(sizeof(uint), posted: true));

        // Commands are handled in order: this reply says that the writes are done.
        Read(sizeof(uint));
    }

    private void MapProcessMemory(int count, ulong size)
    {
        ProcessMemory memory = ProcessMemory.Allocate(size);
        try
        {
            Repeat(count, () =>
            {
                client.MapDma(MapAt, size, DmaAccess.ReadWrite, memory);
                client.UnmapDma(MapAt, size);
            });
        }
        finally
        {
            memory.Release();
        }
    }

    private void MapFile(int count, ulong size)
    {
        using MemoryFile memory = MemoryFile.Create("bench", size);
        Repeat(count, () =>
        {
            client.MapDma(MapAt, size, DmaAccess.ReadWrite, memory);
            client.UnmapDma(MapAt, size);
        });
    }
}
