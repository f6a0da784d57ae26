using System.Buffers.Binary;
using System.Numerics;
using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Pci.Tests;

/// <summary>Streams that are no state of the device: refused when they are to be put in, with a reason, and nothing has changed.</summary>
public sealed class HostileStreamTests : IDisposable
{
    private readonly MigrationRig _source = new();
    private readonly MigrationRig _destination = new();
    private readonly byte[] _stream;

    public HostileStreamTests()
    {
        MigrateTests.Fill(_source);
        _stream = MigrateTests.Save(_source);
    }

    public void Dispose()
    {
        _source.Dispose();
        _destination.Dispose();
    }

    [Fact]
    [Trait("Row", "M14")]
    public void Load_Truncated_Refused()
    {
        for (int length = 0; length < _stream.Length; length += length < 700 || length > _stream.Length - 700 ? 1 : 97)
        {
            AssertRefused(_stream.AsSpan(0, length), $"cut at {length}");
        }

        AssertRefused([.. _stream, 0], "one byte more");
        AssertRefused([.. _stream, .. _stream], "twice");
    }

    [Fact]
    [Trait("Row", "M14")]
    public void Load_OneBitAltered_Refused()
    {
        for (int at = 0; at < _stream.Length; at += at < 700 || at > _stream.Length - 900 ? 1 : 61)
        {
            byte[] altered = [.. _stream];
            altered[at] ^= (byte)(1 << (at % 8));
            AssertRefused(altered, $"altered at {at}");
        }
    }

    [Fact]
    [Trait("Row", "M14")]
    public void Load_RandomAlterations_RefusedWithoutCrash()
    {
        var random = new Random(17);
        for (int round = 0; round < 1500; round++)
        {
            byte[] altered = [.. _stream];
            int start = random.Next(2) == 0 ? random.Next(900) : random.Next(altered.Length);
            switch (random.Next(5))
            {
                case 0:
                    random.NextBytes(altered.AsSpan(start, Math.Min(random.Next(1, 16), altered.Length - start)));
                    break;
                case 1:
                    altered = [.. altered.AsSpan(0, start), .. altered.AsSpan(Math.Min(altered.Length, start + random.Next(1, 300)))];
                    break;
                case 2:
                    altered = [.. altered.AsSpan(0, start), .. altered.AsSpan(random.Next(start + 1))];
                    break;
                case 3:
                    BinaryPrimitives.WriteUInt32LittleEndian(altered.AsSpan(Math.Min(start, altered.Length - 4)), uint.MaxValue >> random.Next(32));
                    break;
                default:
                    altered = new byte[random.Next(3000)];
                    random.NextBytes(altered);
                    _stream.AsSpan(0, Math.Min(random.Next(60), altered.Length)).CopyTo(altered);
                    break;
            }

            if (!altered.AsSpan().SequenceEqual(_stream))
            {
                AssertRefused(altered, $"round {round}");
            }
        }

        // After all that a good one still goes in.
        _destination.File.Reset();
        MigrateTests.Load(_destination, _stream);
        _destination.File.SetMigrationState(MigrationState.Running);
        MigrateTests.AssertEqual(_source, _destination);
    }

    [Theory]
    [InlineData(0, "unknown kind")]
    [InlineData(1, "is missing")]
    [InlineData(2, "is there twice")]
    [InlineData(3, "instead of")]
    [InlineData(4, "has no field")]
    [InlineData(5, "is more than")]
    [InlineData(6, "knows 1 to 1")]
    [InlineData(7, "of another device")]
    [InlineData(8, "part of counter.memory is missing")]
    [InlineData(9, "do not lie in")]
    [InlineData(10, "is not that of this function")]
    [InlineData(11, "only 1 is known")]
    public void Load_WellFormedButWrong_SaysWhatIsWrong(int kind, string reason)
    {
        List<byte[]> records = Records();
        int fields = records.FindLastIndex(static r => r[0] == 2);
        int core = records.FindIndex(static r => r[0] == 2);
        int memory = records.FindIndex(static r => r[0] == 3);
        byte[] table = records[fields];
        switch (kind)
        {
            case 0:
                records.Insert(1, [99, 0, 0, 0, 0, 0, 0, 0]);
                break;
            case 1:
                records.RemoveAt(fields);
                break;
            case 2:
                records.Insert(fields, table);
                break;
            case 3:
                table[Find(table, "register 1") + 10] = 7;
                break;
            case 4:
                table[Find(table, "register 1") + 9] = (byte)'9';
                break;
            case 5:
                table[Find(table, "register 3") + 10 + 4 + 7] = 1;
                break;
            case 6:
                table[Find(table, "counter") + 7] = 2;
                break;
            case 7:
                records[0][^1] ^= 1;
                break;
            case 8:
                records.RemoveAt(memory);
                break;
            case 9:
                records[memory][Find(records[memory], "memory") + 6 + 2] = 1;
                break;
            case 10:
                records[core][Find(records[core], "header") + 6 + 4] ^= 1;
                break;
            default:
                records[0][8 + 8] = 2;
                break;
        }

        string message = AssertRefused(Put(records), reason);
        Assert.Contains(reason, message, StringComparison.Ordinal);
    }

    [Fact]
    public void Load_OlderVersion_WhatCameLaterIsAsAfterAReset()
    {
        var newer = new CounterFunction(version: 2);
        ulong added = 0;
        ulong undeclared = 0;
        newer.State.Number("came later", 4, () => added, v => added = v, since: 2);
        newer.OnReset = () =>
        {
            added = 55;
            undeclared = 0;
        };
        using var destination = new MigrationRig(newer);

        // As what a user does to the device changes them.
        added = 99;
        undeclared = 1;
        destination.Write(1, 9000, 7);
        MigrateTests.Load(destination, _stream);
        Assert.Equal(0ul, undeclared);
        destination.File.SetMigrationState(MigrationState.Running);
        Assert.Equal(_source.Counter.Values, newer.Values);
        Assert.Equal(55ul, added);

        // And the other way round it is refused.
        AssertRefused(MigrateTests.Save(destination), "knows 1 to 1");
    }

    [Theory]
    [InlineData(0, "of another device")]
    [InlineData(1, "has no table")]
    [InlineData(2, "has no field")]
    [InlineData(3, "has no memory")]
    public void Load_TextMadeForATerminal_IsQuotedAndShort(int kind, string reason)
    {
        byte[] text = new byte[kind == 0 ? 60_000 : 250];
        text.AsSpan().Fill((byte)'x');
        "\u001b[2J\r\nall is well\u0085\u2028\u202e"u8.CopyTo(text);
        List<byte[]> records = Records();
        int at = kind switch { 0 => 0, 3 => records.FindIndex(static r => r[0] == 3), _ => records.FindLastIndex(static r => r[0] == 2) };
        string old = kind switch { 0 => "pci:", 1 => "counter", 2 => "register 0", _ => "memory" };
        int where = Find(records[at], old);
        byte[] record = kind == 0
            ? [.. records[at].AsSpan(0, where), .. text]
            : [.. records[at].AsSpan(0, where - 1), (byte)text.Length, .. text, .. records[at].AsSpan(where + old.Length)];
        BinaryPrimitives.WriteInt32LittleEndian(record.AsSpan(4), record.Length - 8);
        records[at] = record;
        string message = AssertRefused(Put(records), reason);
        Assert.Contains(reason, message, StringComparison.Ordinal);
        Assert.Contains("\\x1b[2J\\x0d\\x0aall is well\\x85\\u2028\\u202e", message, StringComparison.Ordinal);
        Assert.DoesNotContain(message, static c => char.IsControl(c) || c is '\u2028' or '\u202e');
        Assert.InRange(message.Length, 1, 300);
    }

    private static int Find(byte[] record, string text) => record.AsSpan().IndexOf(System.Text.Encoding.UTF8.GetBytes(text));

    private List<byte[]> Records()
    {
        var records = new List<byte[]>();
        for (int at = 0; at < _stream.Length;)
        {
            int length = 8 + BinaryPrimitives.ReadInt32LittleEndian(_stream.AsSpan(at + 4));
            records.Add(_stream.AsSpan(at, length).ToArray());
            at += length;
        }

        return records;
    }

    /// <summary>Puts records together so that sum and count are right.</summary>
    private static byte[] Put(List<byte[]> records)
    {
        byte[] bytes = [.. records.Take(records.Count - 1).SelectMany(static r => r)];
        uint sum = 0;
        foreach (byte b in bytes)
        {
            sum = BitOperations.Crc32C(sum, b);
        }

        byte[] end = records[^1];
        BinaryPrimitives.WriteUInt32LittleEndian(end.AsSpan(8), sum);
        BinaryPrimitives.WriteUInt32LittleEndian(end.AsSpan(12), (uint)records.Count - 1);
        return [.. bytes, .. end];
    }

    private string AssertRefused(ReadOnlySpan<byte> stream, string which)
    {
        _destination.File.Reset();
        _destination.Write(0, 8, 4711);
        using MigrationDataFile to = _destination.File.SetMigrationState(MigrationState.Resuming)!;
        Errno errno = to.Write(stream, out int written);
        Assert.True(errno == Errno.None ? written == stream.Length : errno == Errno.EINVAL && written == 0, which);
        VfioException? refused = null;
        try
        {
            _destination.File.SetMigrationState(MigrationState.Stop);
        }
        catch (VfioException e)
        {
            refused = e;
        }

        Assert.True(refused is { Errno: Errno.EINVAL }, $"{which} was accepted");
        Assert.Equal(MigrationState.Error, _destination.File.GetMigrationState());
        Assert.Equal((ulong[])[0, 4711, 0, 0], _destination.Counter.Values);
        Assert.False(_destination.Counter.Memory.ContainsAnyExcept((byte)0));
        return refused!.Message;
    }
}
