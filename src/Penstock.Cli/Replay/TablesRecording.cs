using System.Buffers.Binary;
using System.Text.Json;
using Penstock.S390;
using Penstock.Specs.Zpci;

namespace Penstock.Cli.Replay;

/// <summary>
/// A guest's tables at one moment: LABEL.json says where they begin, LABEL.tables.gz beside it holds the pages they are in, as records of an
/// address of 8 big-endian bytes and the page.
/// </summary>
internal sealed class TablesRecording
{
    private const string Suffix = ".json";
    private const int PageSize = (int)ZpciIoTable.PageSize;
    private const int RecordSize = sizeof(ulong) + PageSize;

    public required string TablesPath { get; init; }

    public required Iota Iota { get; init; }

    public required DmaAperture Aperture { get; init; }

    public required RecordedPages Pages { get; init; }

    public static bool Fits(string path) => path.EndsWith(Suffix, StringComparison.Ordinal);

    public static TablesRecording Load(string path)
    {
        using JsonDocument facts = ReadFacts(path);
        var iota = new Iota(Number(facts, "iota", path));
        DmaAperture aperture = DmaAperture.Of(new ZpciFib { FirstAddress = Number(facts, "pba", path), LastAddress = Number(facts, "pal", path) });
        if (!iota.HasTable)
        {
            throw new ReplayFailure($"'{path}': iota 0x{iota.Value:x} designates no table, so there is nothing to walk; record while translation is registered");
        }

        if (aperture.IsEmpty)
        {
            throw new ReplayFailure($"'{path}': pba 0x{aperture.First:x} is above pal 0x{aperture.Last:x}; give the first and the last DMA address");
        }

        string tables = path[..^Suffix.Length] + ".tables.gz";
        if (!File.Exists(tables) && File.Exists(path[..^Suffix.Length] + ".tables"))
        {
            tables = path[..^Suffix.Length] + ".tables";
        }

        return new TablesRecording { TablesPath = tables, Iota = iota, Aperture = aperture, Pages = ReadPages(tables, path) };
    }

    private static JsonDocument ReadFacts(string path)
    {
        using Stream stream = RecordingFile.Open(path);
        try
        {
            return JsonDocument.Parse(stream);
        }
        catch (JsonException wrong)
        {
            throw new ReplayFailure($"'{path}' is not JSON (line {wrong.LineNumber + 1}, byte {wrong.BytePositionInLine + 1}); give the .json of a recording of tables");
        }
    }

    private static ulong Number(JsonDocument facts, string name, string path) =>
        facts.RootElement.ValueKind == JsonValueKind.Object && facts.RootElement.TryGetProperty(name, out JsonElement value)
        && value.ValueKind == JsonValueKind.Number && value.TryGetUInt64(out ulong number)
            ? number
            : throw new ReplayFailure($"'{path}' has no number '{name}'; a recording of tables needs iota, pba and pal as whole numbers");

    private static RecordedPages ReadPages(string tables, string path)
    {
        if (!File.Exists(tables))
        {
            throw new ReplayFailure($"'{path}': there is no '{tables}' beside it; put the recorded table pages there");
        }

        var pages = new RecordedPages();
        using Stream stream = RecordingFile.Open(tables);
        Span<byte> address = stackalloc byte[sizeof(ulong)];
        for (long at = 0; ; at += RecordSize)
        {
            int read = RecordingFile.Read(stream, address, tables);
            if (read == 0)
            {
                return pages;
            }

            byte[] page = new byte[PageSize];
            if (read < address.Length || RecordingFile.Read(stream, page, tables) < PageSize)
            {
                throw new ReplayFailure($"'{tables}' ends within the record at byte {at}; each has an address of 8 bytes and {PageSize} bytes: record again");
            }

            ulong first = BinaryPrimitives.ReadUInt64BigEndian(address);
            if (first % PageSize != 0)
            {
                throw new ReplayFailure($"'{tables}', record at byte {at}: address 0x{first:x} is not a multiple of {PageSize}; this is no file of table pages");
            }

            pages.Add(first, page);
        }
    }
}
