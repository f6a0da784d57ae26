using System.Buffers.Binary;
using System.Globalization;
using System.IO.Compression;
using System.Text.Json;
using Penstock.Hypervisor.Tests.S390.Model;
using Penstock.Specs.Zpci;

namespace Penstock.Cli.Tests.Replay;

/// <summary>Recordings of tables that the guest model has built.</summary>
public sealed class TablesReplayTests : IDisposable
{
    private const ulong TableMemory = 0x400_0000;
    private const ulong Megabyte = 0x10_0000;
    private const int PageSize = 4096;

    private readonly TemporaryFolder _folder = new();
    private readonly Dictionary<ulong, ulong> _memory = [];

    public void Dispose() => _folder.Dispose();

    [Theory]
    [Trait("Row", "S3-2")]
    [InlineData(ZpciDesignationType.RegionThird, 0x1_0000_0000ul, 0x40_0000_0000ul)]
    [InlineData(ZpciDesignationType.RegionSecond, 0x3f0_0000_0000ul, 0x20_0000_0000ul)]
    [InlineData(ZpciDesignationType.RegionFirst, 0xffff_fff0_0000_0000ul, 0x10_0000_0000ul)]
    public async Task Tables_OfManyGibibytes_EachLivePageIsALine(ZpciDesignationType type, ulong first, ulong length)
    {
        GuestTables tables = NewTables(type);
        ulong last = first + (length - 1);
        var random = new Random(3);
        for (int i = 0; i < 24; i++)
        {
            ulong iova = first + ((ulong)random.NextInt64((long)(length - (4 * Megabyte))) & ~0xfffful);
            tables.Map(iova, (ulong)random.Next(1, 1 << 20) * PageSize, random.Next(1, 600), random.Next(3) != 0);
            tables.Unmap(iova + (5 * PageSize), random.Next(1, 20));
        }

        tables.Map(first, 0x5000, 1);
        tables.Map(last - (PageSize - 1), 0xffff_f000, 1, writable: false);
        tables.MapFrame(first + (64 * Megabyte), 0x5_5550_0000, writable: false);
        string path = await WriteAsync(tables, first, last);

        ToolResult result = await ToolProcess.RunAsync("replay", "zpci", path);

        Assert.Equal(0, result.Status);
        Assert.Empty(result.Errors);
        IEnumerable<string> expected = tables.Live(first, last).Select(static p => $"{p.Iova:x} {p.Address:x} {(p.CanWrite ? "rw" : "r")}");
        Assert.Equal(expected, result.Output);
    }

    [Fact]
    public async Task Tables_WithAnEntryThatFails_NoteAndTheRest()
    {
        GuestTables tables = NewTables();
        tables.Map(0x1_0000_0000, 0x5000, 1);
        tables.Map(0x1_0020_0000, 0x6000, 1);
        tables.Set(0x1_0010_0000, ZpciTableLevel.Segment, 0);
        ToolResult result = await ToolProcess.RunAsync("replay", "zpci", await WriteAsync(tables, 0x1_0000_0000, 0x1_0fff_ffff));
        Assert.Equal(0, result.Status);
        Assert.Equal(["100000000 5000 rw", "100200000 6000 rw"], result.Output);
        Assert.Equal("note: error 0x7 at I/O address 0x100100000: 0x100000 bytes from there are not mapped", Assert.Single(result.Errors));
    }

    [Fact]
    public async Task Tables_ApertureAboveTheFirstTable_EndsThere()
    {
        GuestTables tables = NewTables();
        tables.Map(0x3ff_ffff_f000, 0x5000, 1);
        ToolResult result = await ToolProcess.RunAsync("replay", "zpci", await WriteAsync(tables, 0x3ff_0000_0000, ulong.MaxValue));
        Assert.Equal(["3fffffff000 5000 rw"], result.Output);
        Assert.Contains("3ffffffffff", Assert.Single(result.Errors), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Tables_ApertureWithinPages_IsRoundedToWholeOnes()
    {
        GuestTables tables = NewTables();
        tables.Map(0x1_0000_0000, 0x5000, 2);
        ToolResult result = await ToolProcess.RunAsync("replay", "zpci", await WriteAsync(tables, 0x1_0000_0008, 0x1_0000_1007));
        Assert.Empty(result.Errors);
        Assert.Equal(["100000000 5000 rw", "100001000 6000 rw"], result.Output);
    }

    /// <summary>Five tables that say that all of 2^52 pages lead nowhere, or fail: without an end if each were looked at.</summary>
    [Theory]
    [InlineData(ZpciIoTable.PageInvalid, 0)]
    [InlineData(0ul, 4)]
    public async Task Tables_ThatAllLeadToOneEmptyTable_HaveAnEnd(ulong entry, int notes)
    {
        GuestTables tables = NewTables(ZpciDesignationType.RegionFirst);
        tables.Map(0, 0x5000, 1);
        tables.Unmap(0, 1);
        foreach (ZpciTableLevel level in (ReadOnlySpan<ZpciTableLevel>)
            [ZpciTableLevel.RegionFirst, ZpciTableLevel.RegionSecond, ZpciTableLevel.RegionThird, ZpciTableLevel.Segment])
        {
            ulong below = tables.Get(0, level);
            for (ulong i = 1; i < ZpciIoTable.TableEntries; i++)
            {
                tables.Set(i << (int)level, level, below);
            }
        }

        for (ulong i = 0; i < ZpciIoTable.PageEntries; i++)
        {
            tables.Set(i * PageSize, ZpciTableLevel.Page, entry);
        }

        ToolResult result = await ToolProcess.RunAsync("replay", "zpci", await WriteAsync(tables, 0, ulong.MaxValue));

        Assert.Equal(0, result.Status);
        Assert.Empty(result.Output);
        Assert.Equal(notes, result.Errors.Length);
        if (notes != 0)
        {
            Assert.Equal("note: error 0x7 at I/O address 0x2000: 0x1000 bytes from there are not mapped", result.Errors[2]);
            Assert.Equal($"note: {(1L << 52) - 3} more walks that fail", result.Errors[3]);
        }
    }

    [Fact]
    [Trait("Row", "S3-2")]
    public async Task Tables_UsedInManyPlaces_EachPageIsALine()
    {
        const ulong First = 0x1_0000_0000;
        const ulong Region = 0x8000_0000;
        const ulong Last = First + (6 * Region) - 1;
        GuestTables tables = NewTables();
        var random = new Random(7);
        for (ulong i = 0; i < 8; i++)
        {
            // Every other one is empty, two have an entry that fails.
            tables.Map(First + (i * Megabyte), 0x5000 + (i * 0x10_0000), 3);
            tables.Unmap(First + (i * Megabyte), i % 2 == 0 ? 3 : 1);
            if (i is 4 or 5)
            {
                tables.Set(First + (i * Megabyte) + (9 * PageSize), ZpciTableLevel.Page, 0);
            }
        }

        for (ulong i = 8; i < 200; i++)
        {
            tables.Set(First + (i * Megabyte), ZpciTableLevel.Segment, tables.Get(First + ((ulong)random.Next(8) * Megabyte), ZpciTableLevel.Segment));
        }

        // A region without a page, twice, and the first one again at the end.
        ulong empty = tables.Get(First, ZpciTableLevel.Segment);
        tables.Map(First + Region, 0x5000, 1);
        tables.Set(First + Region, ZpciTableLevel.Segment, empty);
        tables.Set(First + (2 * Region), ZpciTableLevel.RegionThird, tables.Get(First + Region, ZpciTableLevel.RegionThird));
        tables.Set(First + (5 * Region), ZpciTableLevel.RegionThird, tables.Get(First, ZpciTableLevel.RegionThird));
        string path = await WriteAsync(tables, First + PageSize, Last);

        ToolResult result = await ToolProcess.RunAsync("replay", "zpci", path);

        Assert.Equal(0, result.Status);
        IReadOnlyList<string> expected = [.. tables.Live(First, Last).Where(static p => p.Iova != First && p.Address != 0).Select(static p => $"{p.Iova:x} {p.Address:x} {(p.CanWrite ? "rw" : "r")}")];
        Assert.Equal(expected, result.Output);
        long faults = 0;
        for (ulong i = 0; i < 400; i++)
        {
            ulong place = i < 200 ? First + (i * Megabyte) : First + (5 * Region) + ((i - 200) * Megabyte);
            faults += tables.Get(place + (9 * PageSize), ZpciTableLevel.Page) == 0 ? 1 : 0;
        }

        Assert.Equal($"note: {faults - 3} more walks that fail", result.Errors[^1]);
    }

    [Fact]
    public async Task Tables_PackedInPieces_WithZeroesBehind_AreWhole()
    {
        GuestTables tables = NewTables();
        tables.Map(0x1_0000_0000, 0x5000, 2);
        string json = await WriteAsync(tables, 0x1_0000_0000, 0x1_0fff_ffff);
        string packed = _folder.File("LABEL.tables.gz");
        await WritePiecesAsync(packed, [.. PagesOf(_memory)]);
        await File.WriteAllBytesAsync(packed, [.. await File.ReadAllBytesAsync(packed), .. new byte[512]]);
        ToolResult result = await ToolProcess.RunAsync("replay", "zpci", json);
        Assert.Empty(result.Errors);
        Assert.Equal(["100000000 5000 rw", "100001000 6000 rw"], result.Output);
    }

    [Theory]
    [InlineData("lacks a page", 1, "'LABEL.tables.gz'", "lacks the table page at 0x400", "pba to pal")]
    [InlineData("cut", 1, "'LABEL.tables.gz'", "ends within the record at byte")]
    [InlineData("cut packed", 1, "'LABEL.tables.gz'", "not a whole gzip file")]
    [InlineData("cut trailer", 1, "'LABEL.tables.gz'", "not a whole gzip file")]
    [InlineData("second piece damaged", 1, "'LABEL.tables.gz'", "not a whole gzip file", "something else follows")]
    [InlineData("no tables", 1, "'LABEL.tables.gz'", "beside it")]
    [InlineData("odd address", 1, "'LABEL.tables.gz'", "not a multiple of 4096")]
    [InlineData("no JSON", 1, "'LABEL.json'", "not JSON")]
    [InlineData("a list", 1, "'LABEL.json'", "'iota'", "pba and pal")]
    [InlineData("text for a number", 1, "'LABEL.json'", "'pal'")]
    [InlineData("no table designated", 1, "iota 0x812", "designates no table")]
    [InlineData("upside down", 1, "pba 0x2000", "pal 0x1fff")]
    public async Task Tables_Broken_OneLineThatSaysWhat(string how, int status, params string[] texts)
    {
        GuestTables tables = NewTables();
        tables.Map(0x1_0000_0000, 0x5000, 1);
        string json = await WriteAsync(tables, 0x1_0000_0000, 0x1_0fff_ffff);
        string packed = _folder.File("LABEL.tables.gz");
        switch (how)
        {
            case "lacks a page":
                await WriteTablesAsync(packed, PagesOf(_memory).Take(ZpciIoTable.TableSize / PageSize));
                break;
            case "cut":
                await WritePackedAsync(packed, [.. PagesOf(_memory).SelectMany(static r => r).SkipLast(1)]);
                break;
            case "cut packed" or "cut trailer":
                byte[] whole = await File.ReadAllBytesAsync(packed);
                await File.WriteAllBytesAsync(packed, whole[..(how == "cut packed" ? whole.Length / 2 : whole.Length - 8)]);
                break;
            case "second piece damaged":
                byte[] first = await File.ReadAllBytesAsync(packed);
                await WritePiecesAsync(packed, new byte[8]);
                byte[] second = await File.ReadAllBytesAsync(packed);
                second[0] ^= 1;
                await File.WriteAllBytesAsync(packed, [.. first, .. second]);
                break;
            case "no tables":
                File.Delete(packed);
                break;
            case "odd address":
                await WritePackedAsync(packed, [0, 0, 0, 0, 0, 0, 0, 1, .. new byte[PageSize]]);
                break;
            default:
                await File.WriteAllTextAsync(json, how switch
                {
                    "no JSON" => "iota = 5",
                    "a list" => "[1]",
                    "text for a number" => """{ "iota": 2052, "pba": 0, "pal": "0xfff" }""",
                    "no table designated" => """{ "iota": 2066, "pba": 0, "pal": 4095 }""",
                    _ => """{ "iota": 2052, "pba": 8192, "pal": 8191 }""",
                });
                break;
        }

        ToolResult result = await ToolProcess.RunAsync("replay", "zpci", json);

        result.AssertRefused(status, [.. texts.Select(t => t.Replace("LABEL", _folder.File("LABEL"), StringComparison.Ordinal))]);
    }

    /// <summary>Records by address; the first table has the lowest.</summary>
    private static IEnumerable<byte[]> PagesOf(Dictionary<ulong, ulong> memory) => memory.GroupBy(static e => e.Key & ~0xffful).OrderBy(static g => g.Key).Select(static page =>
    {
        byte[] record = new byte[sizeof(ulong) + PageSize];
        BinaryPrimitives.WriteUInt64BigEndian(record, page.Key);
        foreach ((ulong address, ulong entry) in page)
        {
            BinaryPrimitives.WriteUInt64BigEndian(record.AsSpan(sizeof(ulong) + (int)(address & 0xfff)), entry);
        }

        return record;
    });

    private static Task WriteTablesAsync(string path, IEnumerable<byte[]> records) => WritePackedAsync(path, [.. records.SelectMany(static r => r)]);

    private static async Task WritePiecesAsync(string path, params byte[][] pieces)
    {
        await using FileStream file = File.Create(path);
        foreach (byte[] piece in pieces)
        {
            await using var packed = new GZipStream(file, CompressionLevel.Fastest, leaveOpen: true);
            await packed.WriteAsync(piece);
        }
    }

    private static async Task WritePackedAsync(string path, byte[] content)
    {
        await using var packed = new GZipStream(File.Create(path), CompressionLevel.Fastest);
        await packed.WriteAsync(content);
    }

    private GuestTables NewTables(ZpciDesignationType type = ZpciDesignationType.RegionThird) =>
        new(a => _memory.GetValueOrDefault(a), (a, e) => _memory[a] = e, TableMemory, 64 * Megabyte, type);

    private async Task<string> WriteAsync(GuestTables tables, ulong first, ulong last)
    {
        string path = _folder.File("LABEL.json");
        await WriteTablesAsync(_folder.File("LABEL.tables.gz"), PagesOf(_memory));
        string facts = JsonSerializer.Serialize(new { label = "LABEL", iota = tables.Iota.Value, pba = first, pal = last });
        Assert.Contains(last.ToString(CultureInfo.InvariantCulture), facts, StringComparison.Ordinal);
        await File.WriteAllTextAsync(path, facts);
        return path;
    }
}
