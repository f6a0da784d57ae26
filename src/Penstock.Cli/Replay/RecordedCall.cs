using System.Text;
using Penstock.Hypervisor;
using Penstock.Specs.Zpci;

namespace Penstock.Cli.Replay;

/// <summary>A call of a recording, parsed.</summary>
internal readonly record struct RecordedCall(
    RecordedCallKind Kind, long Line, uint Handle, byte Operation, ulong Start, ulong Length, ZpciFib Fib)
{
    private const int Shown = 40;

    /// <summary>Parses the line of a call: a number, a name and what belongs to it.</summary>
    public static RecordedCall Parse(RecordedLines lines, ReadOnlySpan<byte> number, ReadOnlySpan<byte> rest)
    {
        ReadOnlySpan<byte> name = RecordedText.Word(ref rest);
        if (!RecordedText.TryDecimal(number, out _) || name.IsEmpty)
        {
            throw lines.Wrong($"'{Show(number)}' begins none of the known lines: 'N MPCIFC …', 'N RPCIT …', 'N CLP …', '  T …', '  = …' and '# MARK …'");
        }

        return name.SequenceEqual("RPCIT"u8) ? ParseRpcit(lines, rest)
            : name.SequenceEqual("MPCIFC"u8) ? ParseMpcifc(lines, rest)
            : name.SequenceEqual("CLP"u8) ? ParseClp(lines, rest)
            : throw lines.Wrong($"there is no call '{Show(name)}'; the known ones are MPCIFC, RPCIT and CLP");
    }

    /// <summary>Parses what follows T.</summary>
    public static TableRun ParseRun(RecordedLines lines, ReadOnlySpan<byte> rest)
    {
        try
        {
            return TableRun.Parse(rest);
        }
        catch (FormatException wrong)
        {
            throw lines.Wrong(wrong.Message);
        }
    }

    /// <summary>Parses what follows =: condition code, r1 afterwards, and the response of a CLP.</summary>
    public static RecordedResult ParseResult(RecordedLines lines, ReadOnlySpan<byte> rest)
    {
        ReadOnlySpan<byte> code = RecordedText.Value(RecordedText.Word(ref rest), "cc"u8);
        ulong register = Hex(lines, ref rest, "r"u8);
        ReadOnlySpan<byte> response = RecordedText.Value(RecordedText.Word(ref rest), "rsp"u8);
        Span<byte> begin = stackalloc byte[ZpciClpHeader.Length];
        if (code is not [>= (byte)'0' and <= (byte)'3'] || !RecordedText.TryBytes(response, begin, out _))
        {
            throw lines.Wrong("this is no result; one is '= cc=0..3 r=HEX', with ' rsp=HEX' after a CLP");
        }

        var condition = (ZpciConditionCode)(code[0] - (byte)'0');
        ZpciStatus status = condition == ZpciConditionCode.Error ? new ZpciRegister(register).Status : ZpciStatus.None;
        return new RecordedResult(condition, status, ZpciClpHeader.Read(begin).Code);
    }

    private static RecordedCall ParseRpcit(RecordedLines lines, ReadOnlySpan<byte> rest)
    {
        var register = new ZpciRegister(Hex(lines, ref rest, "req"u8));
        ulong start = Hex(lines, ref rest, "start"u8);
        return new RecordedCall(RecordedCallKind.Rpcit, lines.Number, register.Handle, 0, start, Hex(lines, ref rest, "len"u8), default);
    }

    private static RecordedCall ParseMpcifc(RecordedLines lines, ReadOnlySpan<byte> rest)
    {
        var register = new ZpciRegister(Hex(lines, ref rest, "req"u8));
        Span<byte> fib = stackalloc byte[ZpciFib.Length];
        if (!RecordedText.TryBytes(RecordedText.Value(RecordedText.Word(ref rest), "fib"u8), fib, out int count) || count < fib.Length)
        {
            throw lines.Wrong($"'fib=' with {ZpciFib.Length} bytes in hex is missing");
        }

        return new RecordedCall(RecordedCallKind.Mpcifc, lines.Number, register.Handle, (byte)register.Operation, 0, 0, ZpciFib.Read(fib));
    }

    private static RecordedCall ParseClp(RecordedLines lines, ReadOnlySpan<byte> rest)
    {
        Span<byte> block = stackalloc byte[ZpciClpSetRequest.Length];
        if (!RecordedText.TryBytes(RecordedText.Value(RecordedText.Word(ref rest), "req"u8), block, out int count) || count < ZpciClpHeader.Length)
        {
            throw lines.Wrong($"'req=' with at least {ZpciClpHeader.Length} bytes in hex is missing");
        }

        ZpciClpSetRequest set = ZpciClpSetRequest.Read(block);
        return set.Header.Code == (ushort)ZpciClpCommand.SetFunction && count == block.Length
            ? new RecordedCall(RecordedCallKind.SetFunction, lines.Number, set.Handle, (byte)set.Operation, 0, 0, default)
            : new RecordedCall(RecordedCallKind.OtherClp, lines.Number, 0, 0, 0, 0, default);
    }

    private static ulong Hex(RecordedLines lines, ref ReadOnlySpan<byte> rest, ReadOnlySpan<byte> name)
    {
        ReadOnlySpan<byte> word = RecordedText.Word(ref rest);
        return RecordedText.TryHex(RecordedText.Value(word, name), out ulong value)
            ? value
            : throw lines.Wrong($"'{Encoding.ASCII.GetString(name)}=' with a number in hex is expected, not '{Show(word)}'");
    }

    private static string Show(ReadOnlySpan<byte> word) => Encoding.Latin1.GetString(word[..Math.Min(word.Length, Shown)]);
}
